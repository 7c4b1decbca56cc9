"""How likely a language model finds each of several continuations of one text: what multiple choice is measured by.

A context and all its options stand in one row (``shared_rows.py``), so the context is computed once; the last token of
an option is never fed, since nothing is predicted from it. Tokens are split as lm-eval splits them, so that the numbers
are the same (tested to 1e-4): the option's tokens are those of context and option together beyond those of the context.
Left out: rolling likelihood of texts that are longer than the model's context.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, context
from concordant.models.shared_rows import RowBatch, SharedRow, within_budget

_LOGIT_ROWS = 1024


@dataclass(frozen=True, slots=True)
class Question:
    """A text, or a conversation that awaits a reply, and what may follow it.

    Attributes:
        context: options of a text are joined to it as they are; options of a conversation are whole replies, with the
            end of turn.
        options: at least one.
    """

    context: str | Conversation
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OptionScore:
    """One option.

    Attributes:
        logprob: of all its tokens, in nats.
        tokens: how many.
        greedy: whether each of them was the likeliest.
    """

    logprob: float
    tokens: int
    greedy: bool


@dataclass(frozen=True, slots=True)
class _Row:
    """Options that share a context: (question, option) of each, the tokens, and the tokens that are asked for."""

    places: list[tuple[int, int]]
    shared: SharedRow
    wanted: list[list[int]]


@torch.inference_mode()
def option_scores(
    model: LanguageModel, questions: Sequence[Question], row_tokens: int = 4096
) -> Iterator[list[tuple[int, int, OptionScore]]]:
    """(question, option, its score) of every option, in groups as they are computed, longest rows first.

    A context that does not fit the model's with its option loses its beginning.

    Args:
        model: any causal LM.
        questions: any number.
        row_tokens: bounds the padded size of a pass.

    Raises:
        UserError: an option alone is longer than the model's context, or is no token long.
    """
    rows = [row for number, question in enumerate(questions) for row in _rows(model, number, question)]
    for group in within_budget([row.shared for row in rows], row_tokens, model.device):
        yield list(_scored(model, [rows[place] for place in group]))


def _rows(model: LanguageModel, number: int, question: Question) -> list[_Row]:
    """The rows of one question: one, or more where options do not share the same tokens of the context."""
    room = context(model.causal)
    rows: dict[tuple[int, ...], _Row] = {}
    for place, option in enumerate(question.options):
        before, wanted = _tokens(model, question.context, option)
        if not wanted or len(wanted) > room:
            raise UserError(
                f"an option has {len(wanted)} tokens and the model's context {room} ({option[:40]!r}); leave it out"
            )
        before = before[-(room + 1 - len(wanted)) :]
        row = rows.setdefault(tuple(before), _Row([], SharedRow(before, []), []))
        row.places.append((number, place))
        row.shared.replies.append(wanted[:-1])
        row.wanted.append(wanted)
    return list(rows.values())


def _tokens(model: LanguageModel, before: str | Conversation, option: str) -> tuple[list[int], list[int]]:
    """(tokens of the context, at least one; tokens of the option)."""
    if isinstance(before, Conversation):
        return model.format.prompt(before), model.format.reply(option)
    tokenizer = model.tokenizer
    if not before:
        first = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        tokens = list(tokenizer.encode(option, add_special_tokens=False))
        return ([first], tokens) if tokens[:1] != [first] else (tokens[:1], tokens[1:])
    text = before.rstrip()
    option = before[len(text) :] + option  # a space belongs to the word behind it
    whole, known = list(tokenizer.encode(text + option)), list(tokenizer.encode(text))
    # Where both together make one token of the border, nothing would be left of the option.
    return known, whole[len(known) :] or list(tokenizer.encode(option, add_special_tokens=False))


def _scored(model: LanguageModel, rows: Sequence[_Row]) -> Iterator[tuple[int, int, OptionScore]]:
    batch = RowBatch.pack([row.shared for row in rows], model.device)
    predictors: list[tuple[int, int]] = []
    for line, row in enumerate(rows):
        start = len(row.shared.prompt)
        for wanted in row.wanted:
            predictors += [(line, len(row.shared.prompt) - 1), *((line, start + k) for k in range(len(wanted) - 1))]
            start += len(wanted) - 1
    tokens = [token for row in rows for wanted in row.wanted for token in wanted]
    lines, columns = torch.tensor(predictors, device=model.device).T
    logprobs, best = _of_tokens(model, model.hidden(batch)[lines, columns], tokens)
    done = 0
    for row in rows:
        for (question, option), wanted in zip(row.places, row.wanted, strict=True):
            here = slice(done, done + len(wanted))
            yield question, option, OptionScore(sum(logprobs[here]), len(wanted), all(best[here]))
            done += len(wanted)


def _of_tokens(model: LanguageModel, states: Tensor, tokens: list[int]) -> tuple[list[float], list[bool]]:
    """(log-probability of each token, whether it was the likeliest) from the (N, D) states that predict them."""
    head = model.causal.get_output_embeddings()
    logprobs: list[float] = []
    best: list[bool] = []
    wanted = torch.tensor(tokens, device=states.device)
    for part, part_tokens in zip(torch.split(states, _LOGIT_ROWS), torch.split(wanted, _LOGIT_ROWS), strict=True):
        distribution = torch.log_softmax(head(part).float(), dim=-1)
        logprobs += distribution.gather(1, part_tokens[:, None])[:, 0].double().tolist()
        best += (distribution.argmax(dim=-1) == part_tokens).tolist()
    return logprobs, best
