"""``concordant.toml``: what a programme can be told, from store to breaks, with a default for every key.

Defaults that the paper does not state are listed in ``docs/paper-map.md``.
"""

from decimal import Decimal
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from concordant.config import Section
from concordant.topics import DEFAULT_TOPICS, Topics, has_words
from concordant.train_config import PolicyConfig, PreferenceModelConfig


class SamplingConfig(Section):
    """How replies that people read are written."""

    max_new_tokens: int = Field(128, ge=1, description="Reply limit in tokens.")
    temperature: float = Field(1.0, gt=0, description="Sampling temperature; no top-p (fn. 12).")
    filter: str | None = Field(
        None,
        description="Folder of a filter (evaluate ood --save-filter), from the programme's folder; every deployment "
        "answers what it declines with the refusal. Not given: none.",
    )
    refusal: str = Field(
        "I'm sorry, but I would rather not help with that. Is there something else that I can do for you?",
        min_length=1,
        description="The reply to a prompt that the filter declines.",
    )


class CollectConfig(Section):
    """``serve`` and ``simulate``."""

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8765, ge=0, le=65535, description="Port to listen on; 0 takes a free one.")
    helpful_turns: int = Field(4, ge=1, description="Choices in one helpful conversation (paper: about 4).")
    red_team_turns: int = Field(4, ge=1, description="Choices in one red-team conversation (App. D: 4).")
    red_team_share: float = Field(0.0, ge=0, le=1, description="Share of new conversations that are red-team work.")
    cross_model_share: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of comparisons between two different deployments, where there are several.",
    )
    tasks: int = Field(5, ge=1, description="Conversations in one session of a worker (App. D: Task 1 of 5).")
    policy: Literal["drawn", "helpful", "red-team", "alternating"] = Field(
        "drawn",
        description="What a worker's next task is: drawn by red_team_share, all of one kind, or in turn, helpful "
        "first. The limits of [care] stand above it.",
    )
    show: Literal["together", "lockstep", "free"] = Field(
        "together",
        description="When replies appear: both at once when both are complete, as they are written at one pace, or "
        "as they are written. Only together says nothing of a model's speed.",
    )
    consent: str = Field(
        "", description="Markdown file that people agree to before anything else, in the folder; empty: the built-in."
    )
    words: str = Field("", description="TOML file with other words for the workers' pages; empty: English.")


class PanelConfig(Section):
    """Workers who come from a panel: participant, study and session in the address, a code at the end."""

    name: str = Field(
        "", description="Of the panel; prolific presets its parameters and return address. Empty: nobody comes so."
    )
    participant: str = Field("", description="Parameter with the participant's id; empty: the preset's.")
    study: str = Field("", description="Parameter with the study's id; empty: the preset's.")
    session: str = Field("", description="Parameter with the session's id; empty: the preset's.")
    code: str = Field("", description="Completion code for all tasks.")
    part_code: str = Field(
        "",
        description="Code for who leaves after their first message, or could not go on because of us; empty: none.",
    )
    back: str = Field(
        "",
        description="Address to go back to, with {code}, {participant}, {study} and {session} filled in; empty: the "
        "preset's.",
    )

    @model_validator(mode="after")
    def _return_address_is_one(self) -> "PanelConfig":
        if self.back and not self.back.startswith(("https://", "http://")):
            raise ValueError("back must begin with https:// or http://")
        try:
            self.back.format(code="", participant="", study="", session="")
        except (KeyError, IndexError, ValueError):
            raise ValueError(
                "back may hold {code}, {participant}, {study} and {session}, and no other braces"
            ) from None
        return self


class ApiConfig(Section):
    """``/v1``: deployed snapshots for programs, with keys of ``key add``. Workers' replies come first."""

    max_tokens: int = Field(1024, ge=1, description="Most tokens of one reply, and what is taken where none is asked.")
    replies: int = Field(4, ge=1, le=16, description="Most replies to one request (n).")
    queue: int = Field(32, ge=1, description="Most open requests of all keys together; beyond it, 503.")
    per_key: int = Field(8, ge=1, description="Most open requests of one key; beyond it, 429.")
    wait_seconds: float = Field(300.0, gt=0, description="After so long a request that is not done is given up, 503.")


def _can_be_found(text: str) -> str:
    if not has_words(text):
        raise ValueError("a topic and each of its words need at least one letter or digit")
    return text


_Findable = Annotated[str, AfterValidator(_can_be_found)]


class CareConfig(Section):
    """Limits on red-team work, which the server keeps, and what people who do it are offered."""

    red_team_per_session: int = Field(3, ge=0, description="Most red-team conversations in one session.")
    red_team_per_day: int = Field(6, ge=0, description="Most red-team conversations of one worker in any 24 hours.")
    break_after: int = Field(2, ge=1, description="Red-team conversations on end after which a break is due.")
    break_minutes: int = Field(
        10, ge=0, description="Length of the break: other work, or rest; no red-team task begins before it is over."
    )
    blur: bool = Field(True, description="In red-team work, replies are blurred until the worker asks to see them.")
    wellbeing: bool = Field(True, description="Whether to ask how somebody feels after red-team work.")
    smallest_group: int = Field(
        5, ge=3, description="Staff see a week's answers only if so many different people gave one."
    )
    support: dict[str, str] = Field(
        {}, description="Name of a help line or contact → web address or telephone number; on every red-team page."
    )
    topics: dict[_Findable, list[_Findable]] = Field(
        DEFAULT_TOPICS,
        description="Name of a topic that people may opt out of in red-team work → its words and phrases. What is "
        "given stands beside these: a name that is here gets other words, or with [] is taken away.",
    )

    @field_validator("topics", mode="before")
    @classmethod
    def _beside_ours(cls, given: Any) -> Any:
        """The programme's topics over the built-in ones."""
        if not isinstance(given, dict):
            return given
        for name, words in given.items():
            if words == [] and name not in DEFAULT_TOPICS:
                raise ValueError(f"the topic {name!r} has no words; give it some, or leave it out")
        return {**DEFAULT_TOPICS, **given}

    @property
    def all_topics(self) -> Topics:
        """What people may opt out of."""
        return Topics(self.topics)


class OidcConfig(Section):
    """Single sign-on for staff with an identity provider (OpenID Connect); needs the extra ``oidc``."""

    issuer: str = Field("", description="Address of the provider, as it names itself; empty: no single sign-on.")
    client_id: str = Field("", description="What the provider calls this programme.")
    secret_variable: str = Field(
        "CONCORDANT_OIDC_SECRET", description="Environment variable that holds the client secret; it is in no file."
    )
    label: str = Field("Sign in with your organisation", min_length=1, description="What the button says.")
    emails: dict[str, Literal["researcher", "reviewer"]] = Field(
        {}, description="Verified e-mail address → role. Nobody else comes in, unless their claim has a role."
    )
    claim: str = Field("", description="Claim of the ID token that gives a role, such as groups; empty: none.")
    roles: dict[str, Literal["researcher", "reviewer"]] = Field(
        {}, description="Value of that claim → role; where several match, researcher wins."
    )

    @model_validator(mode="after")
    def _provider_is_whole(self) -> "OidcConfig":
        local = urlsplit(self.issuer).hostname in ("127.0.0.1", "localhost")
        if self.issuer and not local and not self.issuer.startswith("https://"):
            raise ValueError("issuer must begin with https://")
        if self.issuer and not self.client_id:
            raise ValueError("client_id is missing; the provider gives one when the programme is registered there")
        if self.issuer and not self.emails and not (self.claim and self.roles):
            raise ValueError("nobody could sign on; give emails, or claim and roles")
        return self


class StaffConfig(Section):
    """Accounts of researchers and reviewers."""

    session_days: float = Field(30, gt=0, description="A session ends so many days after signing in, in any case.")
    idle_hours: float = Field(72, gt=0, description="A session ends after so many hours without being used.")
    oidc: OidcConfig = Field(default_factory=lambda: OidcConfig(), description="Single sign-on (OpenID Connect).")


class LimitsConfig(Section):
    """How often something may be asked for, such as "10 per 15 minutes"; empty: as often as one likes.

    One web process counts in its memory. 50 workers behind one address stay far below what an address may do.
    """

    sign_in_login: str = Field("10 per 10 minutes", description="Wrong passwords for one login.")
    sign_in_address: str = Field("60 per 10 minutes", description="Sign-ins and staff links from one address.")
    links: str = Field("600 per minute", description="Workers' links that are opened from one address.")
    panel: str = Field("300 per minute", description="Arrivals from a panel from one address.")
    forms_worker: str = Field("1200 per minute", description="Forms of one worker; scripted ones send ten a second.")
    forms_address: str = Field("12000 per minute", description="Forms from one address.")

    @model_validator(mode="after")
    def _rates_can_be_read(self) -> "LimitsConfig":
        given = {name: getattr(self, name) for name in self.model_fields_set if getattr(self, name)}
        if not given:
            return self
        from limits import parse  # slow to import, and most programmes leave the defaults

        for name, text in given.items():
            try:
                parse(text)
            except ValueError:
                raise ValueError(f'{name} is {text!r}, which is no rate; write it as "10 per 15 minutes"') from None
        return self


class ReviewConfig(Section):
    """Which conversations staff read, which comparisons get a second opinion. Drawn by a secret seed, once, when a
    conversation ends, from what is known then."""

    first: int = Field(5, ge=0, description="A worker's first so many conversations are all read.")
    share: float = Field(0.25, ge=0, le=1, description="Chance of each later conversation to be read.")
    halve_after: int = Field(
        10,
        ge=1,
        description="Each time that so many verdicts on end were good or better, the chance is halved; a lesser "
        "verdict brings it back.",
    )
    least: float = Field(0.05, ge=0, le=1, description="The chance never falls below this.")
    fast_share: float = Field(0.5, ge=0, le=1, description="The least chance where the worker's pace is fast.")
    fast_seconds: float = Field(
        10.0,
        ge=0,
        description="A pace (median seconds from a reply to the next message, over five conversations) below this is "
        "fast.",
    )
    fast_quantile: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="So is a pace below this quantile of the crew's newest 500 conversations of the same objective, "
        "once there are 20.",
    )
    second_reviews: float = Field(
        0.1, ge=0, le=1, description="Share of what is read that a second reviewer reads too, for their agreement."
    )
    lease_minutes: int = Field(20, ge=1, description="How long a conversation stays with the reviewer who took it.")
    second_opinions: float = Field(
        0.0, ge=0, le=1, description="Share of comparisons that another worker is asked about; 0: none."
    )
    opinions_at_once: int = Field(
        5, ge=1, description="Comparisons of others that a worker is asked about between two conversations, at most."
    )


_DECIMALS = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW"), 0),
    **dict.fromkeys(("PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


def decimals(currency: str) -> int:
    """Digits after the point of an amount in a currency (ISO 4217)."""
    return _DECIMALS.get(currency, 2)


class PayConfig(Section):
    """What work earns. Amounts are decimals and exact; the rule of active time is in ``store/activity.py``."""

    currency: str = Field("USD", pattern="^[A-Z]{3}$", description="ISO 4217 code, three capital letters.")
    mode: Literal["task", "hour"] = Field("task", description="Pay by whole conversation, or by active hour.")
    amount: Decimal = Field(Decimal(0), ge=0, description="Of a whole task, or of an hour; 0: pay is not kept here.")
    red_team_extra: Decimal = Field(Decimal(0), ge=0, description="On top for a whole red-team task.")
    part: Decimal = Field(
        Decimal(1),
        ge=0,
        le=1,
        description="Share of its pay that an unfinished task earns, times its choices made over those wanted.",
    )
    broken: Literal["whole", "part"] = Field(
        "whole", description="What a task earns that a failure of ours broke off: all of it, or part as any other."
    )
    floor: Decimal = Field(
        Decimal(0), ge=0, description="Lowest acceptable pay of an active hour; who is below is shown. 0: none."
    )
    idle_minutes: int = Field(
        10, ge=1, le=60, description="Longest gap between two signs of life that counts as active time."
    )

    @model_validator(mode="after")
    def _amounts_are_whole_units(self) -> "PayConfig":
        for name in ("amount", "red_team_extra", "floor"):
            value: Decimal = getattr(self, name)
            if value >= 10**9 or value != round(value, decimals(self.currency)):
                raise ValueError(f"{name} has more digits than {self.currency} has: {value}")
        return self


class IterateConfig(Section):
    """``iterate``: one turn of the online loop (paper §4.5)."""

    conversations: int = Field(
        60,
        ge=0,
        description="Conversations that simulated workers hold with the current deployments; 0: people's alone.",
    )
    board_conversations: int = Field(
        40, ge=0, description="Conversations between the new snapshot and the old one, for Elo."
    )
    test_fraction: float = Field(0.2, gt=0, lt=1, description="Share of openings kept from the PM, for its accuracy.")
    sharpness: float = Field(
        3.0, gt=0, description="Of scripted workers: units of Bradley-Terry score that one unit of their taste makes."
    )
    workers: int = Field(16, ge=1, description="Simulated workers at once.")


class ProgrammeConfig(Section):
    """``concordant.toml``: everything a programme sets."""

    store: str = Field(
        "sqlite:///store.sqlite",
        description="SQLAlchemy URL; a relative SQLite path is taken from the programme's folder.",
    )
    model: str = Field("smollm2-135m", description="The first snapshot: short name, hub id, or folder.")
    seed: int = Field(0, ge=-(2**31), lt=2**31, description="Seed of everything drawn at random.")
    sampling: SamplingConfig = Field(default_factory=lambda: SamplingConfig(), description="Replies people read.")
    collect: CollectConfig = Field(default_factory=lambda: CollectConfig(), description="The web interface.")
    panel: PanelConfig = Field(
        default_factory=lambda: PanelConfig(), description="Workers who come from a panel, such as Prolific."
    )
    api: ApiConfig = Field(default_factory=lambda: ApiConfig(), description="Snapshots for programs.")
    care: CareConfig = Field(default_factory=lambda: CareConfig(), description="Looking after people.")
    staff: StaffConfig = Field(default_factory=lambda: StaffConfig(), description="Who may see the researcher's pages.")
    limits: LimitsConfig = Field(default_factory=lambda: LimitsConfig(), description="How often what may be asked for.")
    review: ReviewConfig = Field(
        default_factory=lambda: ReviewConfig(), description="Reading what workers write, and second opinions."
    )
    pay: PayConfig = Field(default_factory=lambda: PayConfig(), description="What people earn.")
    pm: PreferenceModelConfig = Field(
        default_factory=lambda: PreferenceModelConfig(), description="Preference-model training."
    )
    policy: PolicyConfig = Field(default_factory=lambda: PolicyConfig(), description="PPO.")
    iterate: IterateConfig = Field(default_factory=lambda: IterateConfig(), description="The online loop.")
