"""Whether a model does what the rest takes for granted, check by check (the traps of published trainers).

A number for a reply (a preference model's score, or a causal LM's log-probabilities of the reply's tokens) must not
depend on padding, on its company in a batch, or on sharing a row with another reply. It is computed here twice: as all
of Concordant does, by packed rows, and by plain transformers, one reply a row with the ordinary 2-D mask.
Left out: whether the model is any good (``accuracy.py``), and what concerns training (``train/``).
"""

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from concordant.errors import UserError
from concordant.evaluate.doctor_format import (
    check_beginning,
    check_prompt_prefix,
    check_round_trip,
    check_special_tokens,
)
from concordant.evaluate.doctor_parts import CASES, Case, Verdict, within
from concordant.models.language_model import LanguageModel, context
from concordant.models.preference_model import END_OF_CONTEXT, PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.runs import Watch

SCORE_LIMIT = 1e-4
"""Largest difference of two scores, or of two sums that ought to be one, that rounding in float32 explains."""
LOGPROB_LIMIT = 1e-3
"""The same for the log-probability of a token, in nats: it comes from a sum over the whole vocabulary."""
DRIFT_LIMIT = 0.1
"""bfloat16 against float32: a score gap of 0.1 moves a win probability by 2.5 points, a log-probability of 0.1 a
ratio by half of PPO's clip."""

_EXTRA = 9
"""Columns of padding, or tokens, put beside the longest row."""
_LONGEST = 640
"""Most tokens in a row: only a tokenizer of bytes needs more for the longest conversation, which it then leaves out."""
_PLAIN_ROWS = 4


@dataclass(frozen=True)
class Patient:
    """A model under examination, and the conversations that fit it.

    Attributes:
        model: a preference model or a causal LM.
        cases: what is scored.
    """

    model: PreferenceModel | LanguageModel
    cases: tuple[Case, ...]

    @property
    def scores(self) -> bool:
        return isinstance(self.model, PreferenceModel)

    @property
    def network(self) -> Any:
        return self.model.classifier if isinstance(self.model, PreferenceModel) else self.model.causal

    @property
    def limit(self) -> float:
        return SCORE_LIMIT if self.scores else LOGPROB_LIMIT

    @property
    def number(self) -> str:
        """What is compared."""
        return "score" if self.scores else "log-probability"

    @torch.inference_mode()
    def own(self, cases: Sequence[Case]) -> list[Float[Tensor, " _"]]:
        """Numbers of every reply, cases first, by the model's own packed rows, all in one batch.

        A preference model has one number a reply, a causal LM one for each of its N tokens.
        """
        if isinstance(self.model, PreferenceModel):
            together = replace(self.model, row_tokens=2**40)
            found = together.score_many([(case.prompt, case.replies) for case in cases])
            return [torch.tensor([score]) for scores in found for score in scores]
        rows = [_row(self.model, case) for case in cases]
        batch = RowBatch.pack(rows, self.model.device)
        places, columns, before = batch.reply_tokens()
        states = self.model.hidden(batch)[places, before]
        logprobs, _ = self.model.token_logprobs(states, batch.input_ids[places, columns], 1.0)
        return list(torch.split(logprobs, [len(reply) for row in rows for reply in row.replies]))

    @cached_property
    def one_by_one(self) -> list[Float[Tensor, " _"]]:
        """``own``, a batch for each case."""
        return [values for case in self.cases for values in self.own([case])]

    @cached_property
    def rows(self) -> list[SharedRow]:
        """Prompt and reply of every reply, in the order of ``own``."""
        shared = [_row(self.model, case) for case in self.cases]
        return [SharedRow(row.prompt, [reply]) for row in shared for reply in row.replies]

    @cached_property
    def states_alone(self) -> list[Float[Tensor, "_ D"]]:
        """Hidden states by plain transformers, a row at a time, without padding."""
        return [self.states([row])[0] for row in self.rows]

    @cached_property
    def alone(self) -> list[Float[Tensor, " _"]]:
        """Numbers of every reply from ``states_alone``."""
        return [self.read(states, row) for states, row in zip(self.states_alone, self.rows, strict=True)]

    def states(
        self, rows: Sequence[SharedRow], side: str = "right", extra: int = 0, after: Sequence[int] = ()
    ) -> list[Float[Tensor, "_ D"]]:
        """Hidden states of rows by plain transformers, those of the padding left out.

        Args:
            rows: one reply each.
            side: where the padding goes; its positions are counted from the mask if it is on the left.
            extra: columns of padding beside the longest row.
            after: tokens that follow every row.
        """
        body = getattr(self.network, self.network.base_model_prefix)
        tokens = [[*row.prompt, *row.replies[0], *after] for row in rows]
        found: list[Tensor] = []
        for start in range(0, len(tokens), _PLAIN_ROWS):
            part = tokens[start : start + _PLAIN_ROWS]
            ids, mask = self.padded(part, side, extra)
            positions = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if side == "left" else {}
            with torch.inference_mode():
                hidden = body(input_ids=ids, attention_mask=mask, use_cache=False, **positions).last_hidden_state
            found += [hidden[number, mask[number].bool()] for number in range(len(part))]
        return found

    def padded(self, rows: Sequence[Sequence[int]], side: str, extra: int) -> tuple[Tensor, Tensor]:
        """(tokens, mask) of rows side by side, as a tokenizer pads them, ``extra`` columns wider than the longest."""
        width = max(map(len, rows)) + extra
        padding = self.model.format.tokenizer.pad_token_id
        if padding is None:
            padding = self.network.config.pad_token_id or 0
        ids = torch.full((len(rows), width), padding, dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for number, row in enumerate(rows):
            place = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
            ids[number, place] = torch.tensor(row)
            mask[number, place] = 1
        return ids.to(self.model.device), mask.to(self.model.device)

    @torch.inference_mode()
    def read(self, states: Float[Tensor, "T D"], row: SharedRow, back: int = 0) -> Float[Tensor, " N"]:
        """A reply's numbers out of a row's hidden states; a score is read ``back`` tokens before the reply's last."""
        end = len(row.prompt) + len(row.replies[0])
        if isinstance(self.model, PreferenceModel):
            score: Tensor = self.network.score(states[end - 1 - back])
            return score.float()
        tokens = torch.tensor(row.replies[0], device=states.device)
        return self.model.token_logprobs(states[len(row.prompt) - 1 : end - 1], tokens, 1.0)[0]


def examine(model: PreferenceModel | LanguageModel, watch: Watch = lambda done, total, seen: None) -> list[Verdict]:
    """All checks, one after the other.

    Raises:
        UserError: the model's context is too small for any of the conversations.
    """
    patient = Patient(model, tuple(case for case in CASES if _fits(model, case)))
    if not patient.cases:
        raise UserError(f"the context of {context(patient.network)} tokens is too small for any conversation")
    format, padding = model.format, patient.network.config.pad_token_id
    checks: tuple[tuple[str, Callable[[], Verdict]], ...] = (
        ("special tokens", lambda: check_special_tokens(format, padding, patient.scores)),
        ("begin of text", lambda: check_beginning(format, CASES)),
        ("round trip", lambda: check_round_trip(format, CASES)),
        ("prompt prefix", lambda: check_prompt_prefix(format, CASES)),
        ("right padding", lambda: check_padding(patient, "right")),
        ("left padding", lambda: check_padding(patient, "left")),
        ("batch split", lambda: check_batch_split(patient)),
        ("shared row", lambda: check_shared_row(patient)),
        ("tokens after", lambda: check_tokens_after(patient)),
        ("score position", lambda: check_score_position(patient)),
        ("plain transformers", lambda: check_plain_transformers(patient)),
        ("bfloat16", lambda: check_bfloat16(patient)),
    )
    verdicts = []
    for number, (name, check) in enumerate(checks):
        watch(number, len(checks), name)
        verdicts.append(check())
    watch(len(checks), len(checks), "")
    return verdicts


def _row(model: PreferenceModel | LanguageModel, case: Case) -> SharedRow:
    """A case as tokens; it fits (``_fits``)."""
    if isinstance(model, PreferenceModel):
        row = model.row(case.prompt, case.replies)
        assert row is not None
        return row
    return SharedRow(model.format.prompt(case.prompt), [model.format.reply(reply) for reply in case.replies])


def _fits(model: PreferenceModel | LanguageModel, case: Case) -> bool:
    """Whether a case goes into the context uncut, with room for padding beside it."""
    prompt = len(model.format.prompt(case.prompt))
    reply = max(len(model.format.reply(reply)) for reply in case.replies) + 1
    room = min(context(model.classifier if isinstance(model, PreferenceModel) else model.causal) - _EXTRA, _LONGEST)
    return prompt + reply <= (min(room, model.max_tokens) if isinstance(model, PreferenceModel) else room)


def check_padding(patient: Patient, side: str) -> Verdict:
    """A row alone against the same row beside longer ones, so that it is padded by more or by less."""
    body = getattr(patient.network, patient.network.base_model_prefix)
    if side == "left" and "position_ids" not in inspect.signature(body.forward).parameters:
        return Verdict(
            "left padding", "not applicable", "the network takes no positions: it is padded on the right only"
        )
    states = patient.states(patient.rows, side, _EXTRA)
    found = [patient.read(state, row) for state, row in zip(states, patient.rows, strict=True)]
    return within(
        f"{side} padding",
        _difference(found, patient.alone),
        patient.limit,
        f"a {patient.number} is the same with and without padding on the {side}",
        f"a {patient.number} depends on how much padding stands on the {side} of its row",
    )


def check_batch_split(patient: Patient) -> Verdict:
    """All conversations in one batch against one at a time, by the model's own rows."""
    return within(
        "batch split",
        _difference(patient.own(patient.cases), patient.one_by_one),
        patient.limit,
        f"a {patient.number} is the same whatever else is in the batch",
        f"a {patient.number} depends on what else is in the batch",
    )


def check_shared_row(patient: Patient) -> Verdict:
    """One row with both replies against a row for each, with transformers' ordinary mask."""
    return within(
        "shared row",
        _difference(patient.one_by_one, patient.alone),
        patient.limit,
        "two replies behind one prompt are the same as two rows",
        f"a {patient.number} differs between a shared row and a row of its own: replies see each other, or positions "
        "are wrong",
    )


def check_tokens_after(patient: Patient) -> Verdict:
    """Tokens that follow a row change nothing in it."""
    states = patient.states(patient.rows, after=patient.rows[0].prompt[:_EXTRA])
    found = [patient.read(state, row) for state, row in zip(states, patient.rows, strict=True)]
    return within(
        "tokens after",
        _difference(found, patient.alone),
        patient.limit,
        f"a {patient.number} is the same whatever follows the reply",
        f"a {patient.number} depends on tokens that follow the reply: the network looks ahead",
    )


def check_score_position(patient: Patient) -> Verdict:
    """The score is that of the end-of-context token, and of no token beside it."""
    name = "score position"
    if not isinstance(patient.model, PreferenceModel):
        return Verdict(name, "not applicable", "a causal language model has no score")
    end = patient.model.format.tokenizer.convert_tokens_to_ids(END_OF_CONTEXT)
    tokens = [[*row.prompt, *row.replies[0]] for row in patient.rows]
    if any(row.count(end) != 1 or row[-1] != end for row in tokens):
        return Verdict(name, "wrong", f"rows do not end with {END_OF_CONTEXT}, or hold it twice")
    before = [patient.read(states, row, back=1) for states, row in zip(patient.states_alone, patient.rows, strict=True)]
    moved = _difference(before, patient.alone)
    if not moved > patient.limit:
        says = "the score is the same a token earlier: the head does not tell tokens apart"
        return Verdict(name, "wrong", says, moved, patient.limit)
    return within(
        name,
        _difference(patient.one_by_one, patient.alone),
        patient.limit,
        f"the score is read at {END_OF_CONTEXT}; a token earlier it differs by up to {moved:.2g}",
        f"the score is not the one at {END_OF_CONTEXT}",
    )


def check_plain_transformers(patient: Patient) -> Verdict:
    """transformers' own sequence classification, padded on the right, reads the same score."""
    name = "plain transformers"
    if not patient.scores:
        return Verdict(name, "not applicable", "a causal language model has no score")
    if patient.network.config.pad_token_id is None:
        return Verdict(
            name, "wrong", "config.json has no pad_token_id: transformers cannot find the end of a padded row"
        )
    tokens = [[*row.prompt, *row.replies[0]] for row in patient.rows]
    found: list[Tensor] = []
    for start in range(0, len(tokens), _PLAIN_ROWS):
        ids, mask = patient.padded(tokens[start : start + _PLAIN_ROWS], "right", _EXTRA)
        with torch.inference_mode():
            found += list(patient.network(input_ids=ids, attention_mask=mask).logits[:, :1].float())
    return within(
        name,
        _difference(found, patient.alone),
        patient.limit,
        "AutoModelForSequenceClassification gives the same scores in a batch padded on the right",
        "AutoModelForSequenceClassification reads the score of a padded row elsewhere: check pad_token_id",
    )


def check_bfloat16(patient: Patient) -> Verdict:
    """How far bfloat16 is from float32: never a fault, but worth knowing before it is used."""
    exact = patient.one_by_one
    with _in_bfloat16(patient.network):
        rough = [values for case in patient.cases for values in patient.own([case])]
    gaps = [
        [float(values[place].sum() - values[place + 1].sum()) for place in range(0, len(values), 2)]
        for values in (rough, exact)
    ]
    turned = sum((one > 0) != (other > 0) for one, other in zip(*gaps, strict=True))
    order = f"{turned} of {len(gaps[0])} pairs change order"
    verdict = within(
        "bfloat16",
        _difference(rough, exact),
        DRIFT_LIMIT,
        f"a {patient.number} in bfloat16 is near the one in float32; {order}",
        f"a {patient.number} in bfloat16 is off by more than {DRIFT_LIMIT}; {order}: measure in float32",
        bad="warning",
    )
    return replace(verdict, counts={"pairs": len(gaps[0]), "pairs_turned": turned})


@contextmanager
def _in_bfloat16(network: Any) -> Iterator[None]:
    """Within it the weights are rounded to bfloat16. Not the buffers: transformers keeps positions in float32."""
    exact = {weight: weight.data for weight in network.parameters()}
    try:
        for weight, values in exact.items():
            weight.data = values.to(torch.bfloat16)
        yield
    finally:
        for weight, values in exact.items():
            weight.data = values


def _difference(some: Sequence[Tensor], others: Sequence[Tensor]) -> float:
    """The largest absolute difference; not a number where one of them is not."""
    return float(
        torch.stack([(one.cpu() - other.cpu()).abs().max() for one, other in zip(some, others, strict=True)]).max()
    )
