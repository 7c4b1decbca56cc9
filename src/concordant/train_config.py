"""What training can be told: one section per stage, each with a default for every key.

Every default that the paper does not state is chosen here, once, and listed in ``docs/paper-map.md``.
"""

from typing import Any, Literal

from pydantic import Field, field_validator
from pydantic_core import PydanticCustomError

from concordant.config import RatedSection, Section


class StepSection(Section):
    """What every section has whose stage takes gradient steps."""

    row_tokens: int = Field(
        4096, ge=64, description="Most tokens in one forward pass: bounds memory, changes no gradient."
    )
    gradient_clip: float = Field(1.0, gt=0, description="Largest norm of the gradient.")


class EpochSection(RatedSection, StepSection):
    """What every section has whose stage goes over its material once, at a rate that is a share of a base rate."""

    base_rate: float = Field(
        2e-3,
        gt=0,
        description="Pretraining rate that rates are shares of; not stated: 0.01 of it is the 2e-5 of our trials.",
    )
    warmup_steps: int = Field(10, ge=0, description="Optimiser steps of linear warm-up.")
    weight_decay: float = Field(0.0, ge=0, description="AdamW's decoupled weight decay; not stated in the paper.")


class PreferenceModelConfig(EpochSection):
    """``train pm``: finetuning on comparisons (paper §3.1, A.2).

    The paper gives its rates as shares of the rate of its language models' pretraining, which it does not state. So a
    base rate is pinned here, and the shares are the paper's; a rate that is given itself wins.
    """

    model: str = Field(
        "smollm2-135m",
        description="What is trained on: short name, hub id or folder of a causal LM, or a run that made a PM. "
        "Not given, a programme takes its first snapshot.",
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
    batch_size: int = Field(16, ge=1, description="Comparisons in one optimiser step (Askell et al.: 32).")
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
        description="Numbers of comparisons learned from, rising multiples of batch_size, after which a copy is "
        "kept in RUN/kept/N: as the rate is constant after warm-up (A.2), it is what a run that ended there would be.",
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


class DistillConfig(EpochSection):
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
    rate_ratio: float = Field(0.05, gt=0, description="Learning rate as a share of base_rate (A.1: 0.05).")
    learning_rate: float = Field(
        1e-4,
        gt=0,
        description="Not given: rate_ratio × base_rate. After warm-up it falls linearly to 0 (A.1).",
    )
    batch_size: int = Field(32, ge=1, description="Texts in one optimiser step (A.1: 32).")
    lora_rank: int = Field(
        0,
        ge=0,
        description="0 trains all weights; r > 0 trains LoRA of rank r on all linear layers, merged at the end.",
    )
    checkpoint_seconds: float = Field(120.0, ge=0, description="Seconds between checkpoints.")
    seed: int = Field(0, ge=-(2**31), lt=2**31, description="Which texts, their order, and initial values of a LoRA.")


class PolicyConfig(StepSection):
    """``train policy``: PPO against a preference model (paper §4.1, §4.2, B.1)."""

    updates: int = Field(16, ge=1, description="Batches of fresh samples.")
    prompts_per_update: int = Field(8, ge=1, description="Prompts in one batch.")
    replies_per_prompt: int = Field(4, ge=1, description="Replies to each prompt in one batch; the paper uses 1.")
    max_new_tokens: int = Field(48, ge=1, description="Reply limit in tokens (paper: 128, robustness runs 32).")
    max_prompt_tokens: int = Field(512, ge=16, description="Longer prompts lose whole turns from the left.")
    # The two below stand in a run's config.json only where they are set: runs begun before they existed go on.
    model_share: float | None = Field(
        None,
        ge=0,
        le=1,
        exclude_if=lambda share: share is None,
        description="Share of prompts that a model wrote (paper's pool: 0.73); not given: as they come.",
    )
    harmless_share: float | None = Field(
        None,
        ge=0,
        le=1,
        exclude_if=lambda share: share is None,
        description="Share of prompts for the harmless objective; not stated in the paper (§4.4 lowers it); not given: "
        "as they come.",
    )
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
    critic: Literal["policy", "pm"] = Field(
        "policy",
        exclude_if=lambda critic: critic == "policy",
        description="What forecasts the return, for gae; not stated in the paper: a head on the policy's trunk, or a "
        "network of its own that begins as the train PM, where it has the policy's tokens. The second takes 4 bytes a "
        "weight beside a LoRA, and 16 where lora_rank is 0.",
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
    value_learning_rate: float = Field(1e-3, gt=0, description="Of the critic; it has no schedule.")
    warmup_updates: int = Field(1, ge=0, description="Updates in which only the critic learns, to start it; of gae.")
    lora_rank: int = Field(
        16,
        ge=0,
        description="Rank of the LoRA on all linear layers; the reference is the adapter switched off. 0 trains all "
        "weights, beside a frozen copy as the reference: 20 bytes a weight in place of 4, without activations.",
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
