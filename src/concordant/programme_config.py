"""``concordant.toml``: what a programme can be told, from store to breaks, with a default for every key.

Defaults that the paper does not state are listed in ``docs/paper-map.md``.
"""

from decimal import Decimal
from typing import Literal

from pydantic import Field, model_validator

from concordant.config import Section
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
    part_code: str = Field("", description="Code for who leaves before, or could not go on; empty: none.")
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
    care: CareConfig = Field(default_factory=lambda: CareConfig(), description="Looking after people.")
    pay: PayConfig = Field(default_factory=lambda: PayConfig(), description="What people earn.")
    pm: PreferenceModelConfig = Field(
        default_factory=lambda: PreferenceModelConfig(), description="Preference-model training."
    )
    policy: PolicyConfig = Field(default_factory=lambda: PolicyConfig(), description="PPO.")
    iterate: IterateConfig = Field(default_factory=lambda: IterateConfig(), description="The online loop.")
