"""Configs: sparse TOML and dotted overrides → one frozen model per stage. An unknown key is an error.

Every default that the paper does not state is chosen here, once, and listed in ``docs/paper-map.md``. What people
write is TOML; what a run writes back (config.json, resolved) is JSON.
"""

import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import PydanticCustomError

from concordant.errors import UserError


class Section(BaseModel):
    """Base of every config: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class RatedSection(Section):
    """A section whose learning rate may be given as a share of a base rate, as the paper gives its rates."""

    @model_validator(mode="before")
    @classmethod
    def _rate_from_ratio(cls, values: Any) -> Any:
        """The learning rate, where it is not given, from base rate and ratio."""
        if not isinstance(values, dict) or "learning_rate" in values:
            return values
        base, ratio = (values.get(name, cls.model_fields[name].default) for name in ("base_rate", "rate_ratio"))
        if isinstance(base, int | float) and isinstance(ratio, int | float):
            return {**values, "learning_rate": base * ratio}
        return values  # the field that is no number is refused by its own name


class PreferenceModelConfig(RatedSection):
    """``train pm``: finetuning on comparisons (paper §3.1, A.2).

    The paper gives its rates as shares of the rate of its language models' pretraining, which it does not state. So a
    base rate is pinned here, and the shares are the paper's; a rate that is given itself wins.
    """

    model: str = Field(
        "smollm2-135m",
        description="What is trained on: short name, hub id or folder of a causal LM, or a run that made a PM. "
        "Not given, a programme takes its first snapshot.",
    )
    base_rate: float = Field(
        2e-3,
        gt=0,
        description="Pretraining rate that rates are shares of; not stated: 0.01 of it is the 2e-5 of our trials.",
    )
    rate_ratio: float = Field(
        0.01, gt=0, description="Learning rate as a share of base_rate (A.2: 0.01; pretraining on votes 0.1)."
    )
    learning_rate: float = Field(
        2e-5,
        gt=0,
        description="Not given: rate_ratio × base_rate. Constant after warm-up, so that a learning curve is a "
        "data-scaling curve (A.2).",
    )
    warmup_steps: int = Field(10, ge=0, description="Optimiser steps of linear warm-up.")
    batch_size: int = Field(16, ge=1, description="Comparisons in one optimiser step (Askell et al.: 32).")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay; not stated in the paper.")
    lm_coef: float = Field(
        0.0,
        ge=0,
        description="Weight of the loss on text: mean −log-likelihood of a chosen reply's token. PMP: 1, finetune: 0.",
    )
    harmless_weight: float = Field(
        1.0,
        gt=0,
        description="λ of L_helpful + λ·L_harmless (Fig. 27): weight of a harmless comparison; a helpful one has 1.",
    )
    max_tokens: int = Field(
        1024,
        ge=32,
        description="Context (A.2: 1024; online PM: 2048); longer prompts lose whole turns from the left.",
    )
    row_tokens: int = Field(
        4096, ge=64, description="Most tokens in one forward pass: bounds memory, changes no gradient."
    )
    dtype: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="Of the matrix products in training; auto measures the machine and takes the faster. Weights, "
        "scores and losses are float32 always.",
    )
    gradient_checkpointing: bool = Field(
        False, description="Less memory, more time, same gradient: layers are computed again in the backward pass."
    )
    compile_layers: bool = Field(
        False,
        description="torch.compile for every layer: a minute to compile, then a fifth faster on two cores, so it pays "
        "in runs of more than about 5 minutes. Needs a C++ compiler.",
    )
    lora_rank: int = Field(
        0, ge=0, description="0 trains all weights; r > 0 trains LoRA of rank r on all linear layers."
    )
    frozen_layers: int = Field(0, ge=0, description="How many lower transformer layers stay as they are.")
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    checkpoint_seconds: float = Field(120.0, ge=0, description="Seconds between checkpoints.")
    seed: int = Field(
        0, ge=-(2**31), lt=2**31, description="Order of the comparisons and initial values of new weights."
    )
    # The two below stand in a run's config.json only where they are set: runs begun before they existed go on.
    order: Literal["shuffled", "given"] = Field(
        "shuffled",
        exclude_if=lambda order: order == "shuffled",
        description='Order of the comparisons: "shuffled" by the seed, or as "given" (with a limit: as drawn).',
    )
    keep_at: tuple[int, ...] = Field(
        (),
        exclude_if=lambda marks: not marks,
        description="Numbers of comparisons, rising multiples of batch_size, after which a copy is kept in "
        "RUN/kept/N: as the rate is constant after warm-up (A.2), it is what a run that ended there would be.",
    )

    @field_validator("keep_at", mode="before")
    @classmethod
    def _one_is_a_list(cls, marks: Any) -> Any:
        return [marks] if isinstance(marks, int) else marks

    @field_validator("keep_at")
    @classmethod
    def _whole_batches(cls, marks: tuple[int, ...], info: Any) -> tuple[int, ...]:
        """Marks at which an optimiser step ends: between two steps is no model in which a shorter run would end."""
        batch = info.data.get("batch_size", 1)
        for last, mark in zip((0, *marks), marks, strict=False):
            if mark <= last:
                raise ValueError("each number must be larger than the one before it, and above 0")
            if mark % batch:
                near = [str(found) for found in (mark // batch * batch, -(-mark // batch) * batch) if found]
                raise ValueError(f"{mark} is no multiple of batch_size ({batch}); write {' or '.join(near)}")
        return marks


class PmpConfig(PreferenceModelConfig):
    """``train pmp``: preference-model pretraining on votes, before the finetune (paper §3.1, A.2)."""

    rate_ratio: float = Field(0.1, gt=0, description="Learning rate as a share of base_rate (A.2: 0.1).")
    learning_rate: float = Field(2e-4, gt=0, description="Not given: rate_ratio × base_rate. Constant after warm-up.")
    batch_size: int = Field(32, ge=1, description="Comparisons in one optimiser step; not stated in the paper.")
    lm_coef: float = Field(
        1.0,
        ge=0,
        description="Weight of the loss on text: mean −log-likelihood of a chosen reply's token; its size is not "
        "stated in the paper.",
    )
    pairs_per_question: int = Field(
        10, ge=1, description="Most pairs of answers to one question, so that no question outweighs all others."
    )


class DistillConfig(RatedSection):
    """``train distill``: context distillation of a prompt (paper §2.3, App. A.1)."""

    model: str = Field(
        "smollm2-135m", description="The student: short name, hub id or folder of a causal LM, or the run of one."
    )
    teacher: str = Field(
        "", description='The model that reads the prompt; "" is the student itself. It needs the student\'s tokenizer.'
    )
    k: int = Field(50, ge=1, description="Most probable tokens kept at each place; all others are one class (A.1: 50).")
    dialogue_share: float = Field(
        0.5, ge=0, le=1, description="Share of dialogues among the texts; the rest is plain text (A.1: a half)."
    )
    text_tokens: int = Field(
        512,
        ge=32,
        description="Most tokens of a text, for which the teacher's context must have room behind the prompt.",
    )
    shard_texts: int = Field(256, ge=1, description="Texts in one file of the teacher's output.")
    base_rate: float = Field(
        2e-3, gt=0, description="Pretraining rate that rates are shares of; not stated: the same as that of train pm."
    )
    rate_ratio: float = Field(0.05, gt=0, description="Learning rate as a share of base_rate (A.1: 0.05).")
    learning_rate: float = Field(
        1e-4,
        gt=0,
        description="Not given: rate_ratio × base_rate. After warm-up it falls linearly to 0 (A.1).",
    )
    warmup_steps: int = Field(10, ge=0, description="Optimiser steps of linear warm-up.")
    batch_size: int = Field(32, ge=1, description="Texts in one optimiser step (A.1: 32).")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay; not stated in the paper.")
    row_tokens: int = Field(
        4096, ge=64, description="Most tokens in one forward pass: bounds memory, changes no gradient."
    )
    lora_rank: int = Field(
        0,
        ge=0,
        description="0 trains all weights; r > 0 trains LoRA of rank r on all linear layers, merged at the end.",
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    checkpoint_seconds: float = Field(120.0, ge=0, description="Seconds between checkpoints.")
    seed: int = Field(0, ge=-(2**31), lt=2**31, description="Which texts, their order, and initial values of a LoRA.")


class PolicyConfig(Section):
    """``train policy``: PPO against a preference model (paper §4.1, §4.2, B.1)."""

    updates: int = Field(16, ge=1, description="Batches of fresh samples.")
    prompts_per_update: int = Field(8, ge=1, description="Prompts in one batch.")
    replies_per_prompt: int = Field(4, ge=1, description="Replies to each prompt in one batch; the paper uses 1.")
    max_new_tokens: int = Field(48, ge=1, description="Reply limit in tokens (paper: 128, robustness runs 32).")
    max_prompt_tokens: int = Field(512, ge=16, description="Longer prompts lose whole turns from the left.")
    temperature: float = Field(1.0, gt=0, description="Divides policy and reference logits alike; no top-p (fn. 12).")
    kl_coef: float = Field(0.001, ge=0, description="λ_KL of the reward r_PM − λ·KL (§4.1).")
    missing_end_penalty: float = Field(
        0.0,
        ge=0,
        description="Taken off the score of a reply that ran into its limit; the paper has none, and 0 is off.",
    )
    clip: float = Field(0.2, gt=0, lt=1, description="PPO's ε (B.1).")
    passes: int = Field(2, ge=1, description="Passes over each batch, K (B.1: 1, 2 or 4).")
    minibatches: int = Field(2, ge=1, description="Optimiser steps in one pass.")
    advantage: Literal["gae", "leave_one_out"] = Field(
        "gae",
        description="What a reply is held against: a value head's forecast (generalised advantage estimation), or the "
        "mean reward of the other replies to its prompt, without a value head. Whitened either way.",
    )
    gamma: float = Field(1.0, gt=0, le=1, description="Discount (B.1: 1); of gae.")
    gae_lambda: float = Field(
        0.95, ge=0, le=1, description="λ of generalised advantage estimation; not stated in the paper."
    )
    value_coef: float = Field(0.1, ge=0, description="Weight of the value loss; not stated in the paper.")
    learning_rate: float = Field(
        3e-4,
        gt=0,
        description="Of the policy's weights: LoRA, or with lora_rank = 0 all of them, which want a far lower one.",
    )
    warmup_samples: int = Field(
        0, ge=0, description="Sampled replies over which that rate rises linearly (robustness runs 25,000); 0: none."
    )
    halving_samples: int = Field(
        0, ge=0, description="Sampled replies after which that rate halves, again and again (online 100,000); 0: never."
    )
    value_learning_rate: float = Field(1e-3, gt=0, description="Of the value head; it has no schedule.")
    warmup_updates: int = Field(
        1, ge=0, description="Updates in which only the value head learns, to start the critic; of gae."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")
    lora_rank: int = Field(
        16,
        ge=0,
        description="Rank of the LoRA on all linear layers; the reference is the adapter switched off. 0 trains all "
        "weights, beside a frozen copy as the reference: 20 bytes a weight in place of 4, without activations.",
    )
    row_tokens: int = Field(
        4096, ge=64, description="Most tokens in one forward pass: bounds memory, changes no gradient."
    )
    trial_prompts: int = Field(16, ge=0, description="Prompts held out to compare before and after; at most a quarter.")
    samples_every: int = Field(
        4, ge=0, description="Every so many updates, one reply to each prompt goes to samples.jsonl; 0: never."
    )
    stop_when_parted: bool = Field(
        False, description="End the run once its train and test preference model have parted (needs a test PM)."
    )
    keep_step: float = Field(
        0.0, ge=0, description="A snapshot stays in kept/ at every such step of √KL, such as 0.5; 0: none."
    )
    keep_most: int = Field(
        12, ge=1, description="Most snapshots in kept/; where there would be more, the step doubles."
    )
    checkpoint_seconds: float = Field(60.0, ge=0, description="Seconds between checkpoints.")
    seed: int = Field(0, ge=-(2**31), lt=2**31, description="Prompts, sampling and initial values of new weights.")

    @field_validator("advantage")
    @classmethod
    def _others_to_leave_out(cls, value: str, known: Any) -> str:
        if value == "leave_one_out" and known.data.get("replies_per_prompt", 2) < 2:
            raise PydanticCustomError("replies", "it needs replies_per_prompt of 2 or more, which is 1")
        return value


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
    pm: PreferenceModelConfig = Field(
        default_factory=lambda: PreferenceModelConfig(), description="Preference-model training."
    )
    policy: PolicyConfig = Field(default_factory=lambda: PolicyConfig(), description="PPO.")
    iterate: IterateConfig = Field(default_factory=lambda: IterateConfig(), description="The online loop.")


C = TypeVar("C", bound=Section)


def load_config(kind: type[C], file: Path | None = None, overrides: Iterable[str] = ()) -> C:
    """A config from its defaults, a TOML file, and ``dotted.key=value`` overrides, the later ones winning.

    Raises:
        UserError: unreadable file, unknown key, or a value out of its range; the message names key and value.
    """
    values: dict[str, Any] = {}
    if file is not None:
        try:
            values = tomllib.loads(file.read_text())
        except OSError as error:
            raise UserError(f"config file {file} cannot be read: {error.strerror}; check the path") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"config file {file} is not TOML: {error}") from None
    for override in overrides:
        key, equals, value = override.partition("=")
        if not equals:
            raise UserError(f"override {override!r} has no '='; write key=value, for example policy.updates=20")
        _set(values, key.strip().split("."), _parse(value), override)
    return _checked(kind, values)


def changed(config: C, changes: Mapping[str, Any]) -> C:
    """The config with other values at some keys of its own, checked as a written one is.

    Raises:
        UserError: unknown key, or a value out of its range.
    """
    return _checked(type(config), {**config.model_dump(), **changes})


def _checked(kind: type[C], values: dict[str, Any]) -> C:
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(kind, error)) from None


def _parse(text: str) -> Any:
    """A TOML value, or the text itself where it is none: ``lr=2e-5``, ``model=./folder`` and ``model="x"`` all work."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def _set(values: dict[str, Any], path: list[str], value: Any, override: str) -> None:
    for name in path[:-1]:
        inner = values.setdefault(name, {})
        if not isinstance(inner, dict):
            raise UserError(f"override {override!r}: {name} is a value and has no keys of its own")
        values = inner
    values[path[-1]] = value


def _explain(kind: type[Section], error: ValidationError) -> str:
    """The first problem as one line: key, value, what is allowed."""
    problem = error.errors()[0]
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section: Any = kind
        for part in problem["loc"][:-1]:
            section = section.model_fields[str(part)].annotation
        return f"unknown key {key!r}; the keys there are {', '.join(section.model_fields)}"
    said = str(problem["ctx"]["error"]) if problem["type"] == "value_error" else problem["msg"]
    return f"{key} is {problem['input']!r}: {said[:1].lower()}{said[1:]}"
