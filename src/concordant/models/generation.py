"""Sampling replies: one prefill a prompt however many replies, a cache with room, finished rows leave the batch.

What all prompts of a batch begin with, a system message mostly, is computed once for all of them.

The same prompts, n and seed give the same tokens: each reply draws from a random stream of its own, by inverting the
cumulative distribution, so its noise does not depend on who else is in the batch. No top-p (paper, fn. 12).
Logits are made for the place to be drawn alone; the log-probability of the drawn token is kept, nothing else.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel, as_attention_mask
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.sampler import OnText, Reply, ReplyLimits

OnToken = Callable[[int, int, list[int]], None]
"""Called as ``on_token(prompt index, reply index, tokens so far)``."""


@dataclass(slots=True)
class SampledReply:
    """One reply as tokens.

    Attributes:
        tokens: what was drawn, the end-of-turn token included if there was one.
        logprobs: log-probability of each drawn token at the sampling temperature.
        finished: whether the model ended its turn by itself.
    """

    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    finished: bool = False


@dataclass(frozen=True, slots=True)
class SamplingLimits:
    """How replies are drawn.

    Attributes:
        max_new_tokens: the reply limit.
        temperature: divides the logits; 0 takes the likeliest token always.
        rows: most replies in one batch.
        stops: texts each of which ends a reply where it comes up; it stands in the reply's tokens.
    """

    max_new_tokens: int
    temperature: float = 1.0
    rows: int = 64
    stops: tuple[str, ...] = ()


class _RoomyLayer(DynamicLayer):  # type: ignore[misc]
    """One layer's keys and values with room for the tokens to come, so that a step copies one column, not the cache."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._store: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append (B, H, T, D) keys and values; returns all of them so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            batch, heads, tokens, size = key_states.shape
            shape = (batch, heads, tokens + self._room, size)
            self._store = key_states.new_empty(shape), value_states.new_empty(shape)
        assert self._store is not None
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        self._store[0][:, :, start:end] = key_states
        self._store[1][:, :, start:end] = value_states
        self.keys, self.values = (part[:, :, :end] for part in self._store)
        return self.keys, self.values

    def pick(self, rows: Int64[Tensor, " R"]) -> None:
        """Keep these rows, in this order; a row may be taken several times."""
        assert self._store is not None
        length = self.get_seq_length()
        self._store = self._store[0][rows], self._store[1][rows]
        self.keys, self.values = (part[:, :, :length] for part in self._store)


def leave_a_core() -> None:
    """Compute with one thread less than there are cores, where pages are served from the same machine.

    Threads that wait for each other at every product lose much to a third process (docs/log.md).
    """
    torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    n: int,
    limits: SamplingLimits,
    seed: int,
    on_token: OnToken | None = None,
) -> list[list[SampledReply]]:
    """n replies to each prompt.

    Args:
        model: any causal LM.
        prompts: token lists; each must be non-empty.
        n: replies to each.
        limits: length, temperature, batch.
        seed: of every draw.
        on_token: told of each token as it is drawn.

    Returns:
        One list of n replies a prompt, in the order given.
    """
    replies = [[SampledReply() for _ in range(n)] for _ in prompts]
    # Prompts of like length go together: the padding of a batch is computed at every step.
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    places = [(index, reply) for index in order for reply in range(n)]
    for start in range(0, len(places), limits.rows):
        flight = _take_off(model, prompts, places[start : start + limits.rows], limits, seed)
        for step in range(limits.max_new_tokens):
            going_on = _write(model, flight, replies, limits, step, on_token)
            if not going_on:
                break
    return replies


@dataclass(slots=True)
class _Flight:
    """Replies being written, one a row; finished ones leave.

    Attributes:
        places: (prompt index, reply index) of each row.
        cache: keys and values of every row.
        states: (R, D) hidden states that predict each row's next token.
        lengths: (R,) tokens of each row so far, prompt included.
        seen: (R, L) which columns of the cache hold a token of the row.
        noise: (R, S) what each row draws with, a number a step.
    """

    places: list[tuple[int, int]]
    cache: Any
    states: Float[Tensor, "R D"]
    lengths: Int64[Tensor, " R"]
    seen: Bool[Tensor, "R L"]
    noise: Float[Tensor, "R S"]


def _take_off(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    places: list[tuple[int, int]],
    limits: SamplingLimits,
    seed: int,
) -> _Flight:
    """Prefill: each distinct prompt once, and what they all begin with (a system message, mostly) once for all."""
    distinct = sorted({tuple(prompts[index]) for index, _ in places})
    cache, states, seen = _prefill(model, distinct, limits.max_new_tokens)
    number = {prompt: row for row, prompt in enumerate(distinct)}
    rows = torch.tensor([number[tuple(prompts[index])] for index, _ in places], device=model.device)
    for layer in cache.layers:
        layer.pick(rows)
    lengths = torch.tensor([len(prompts[index]) for index, _ in places], device=model.device)
    noise = _uniform_noise(places, limits.max_new_tokens, seed).to(model.device)
    return _Flight(places, cache, states[rows], lengths, seen[rows], noise)


def _prefill(
    model: LanguageModel, prompts: Sequence[tuple[int, ...]], room: int
) -> tuple[Any, Float[Tensor, "U D"], Bool[Tensor, "U P"]]:
    """(cache with room for so many tokens more, state at the end of each prompt, columns that hold its tokens)."""
    shared = _shared_beginning(prompts)
    rest = RowBatch.pack([SharedRow(list(prompt[shared:]), []) for prompt in prompts], model.device)
    count, width = rest.input_ids.shape
    layers = [_RoomyLayer(width + room) for _ in range(model.causal.config.num_hidden_layers)]
    cache = Cache(layers=layers)
    if shared:
        first = RowBatch.pack([SharedRow(list(prompts[0][:shared]), [])], model.device)
        _step(model, first.input_ids, first.positions, first.attention, cache)
        for layer in layers:
            layer.pick(torch.zeros(count, dtype=torch.int64, device=model.device))
    before = torch.ones(count, 1, width, shared, dtype=torch.bool, device=model.device)
    attention = torch.cat([before, rest.attention], dim=3)
    hidden = _step(model, rest.input_ids, rest.positions + shared, attention, cache)
    ends = torch.tensor([len(prompt) - shared - 1 for prompt in prompts], device=model.device)
    states = hidden[torch.arange(count, device=model.device), ends]
    return cache, states, torch.cat([before[:, 0, 0], rest.segments == 0], dim=1)


def _shared_beginning(prompts: Sequence[tuple[int, ...]]) -> int:
    """How many tokens all (sorted) prompts begin with; at least one token is left to each."""
    shortest = min(len(prompt) for prompt in prompts)
    first, last = prompts[0], prompts[-1]
    same = next((place for place in range(shortest) if first[place] != last[place]), shortest)
    return min(same, shortest - 1)


def _write(
    model: LanguageModel,
    flight: _Flight,
    replies: list[list[SampledReply]],
    limits: SamplingLimits,
    step: int,
    on_token: OnToken | None,
) -> bool:
    """Draw one token for every row, and compute what predicts the next; False if there is nothing more to write."""
    tokens, logprobs = _draw(model, flight.states, flight.noise[:, step], limits.temperature)
    keep = []
    for row, (token, logprob) in enumerate(zip(tokens.tolist(), logprobs.tolist(), strict=True)):
        index, place = flight.places[row]
        reply = replies[index][place]
        reply.tokens.append(token)
        reply.logprobs.append(logprob)
        reply.finished = token == model.format.end_of_turn or _says_stop(model, reply.tokens, limits.stops)
        if not reply.finished:
            keep.append(row)
        if on_token is not None:
            on_token(index, place, reply.tokens)
    if not keep or step + 1 == limits.max_new_tokens:
        return False
    if len(keep) < len(flight.places):
        tokens = tokens[keep]
        _leave(flight, keep)
    flight.seen = torch.cat([flight.seen, torch.ones_like(flight.seen[:, :1])], dim=1)
    attention = flight.seen[:, None, None, :]
    flight.states = _step(model, tokens[:, None], flight.lengths[:, None], attention, flight.cache)[:, 0]
    flight.lengths = flight.lengths + 1
    return True


def _leave(flight: _Flight, keep: list[int]) -> None:
    """Only these rows go on."""
    flight.places = [flight.places[row] for row in keep]
    flight.lengths, flight.seen, flight.noise = flight.lengths[keep], flight.seen[keep], flight.noise[keep]
    for layer in flight.cache.layers:
        layer.pick(torch.tensor(keep, device=flight.lengths.device))


def _step(
    model: LanguageModel,
    ids: Int64[Tensor, "B T"],
    positions: Int64[Tensor, "B T"],
    attention: Bool[Tensor, "B 1 T L"],
    cache: Any,
) -> Float[Tensor, "B T D"]:
    """Hidden states of new tokens, whose keys and values join the cache (L columns after this step)."""
    mask = as_attention_mask(model.body, attention)
    output = model.body(
        input_ids=ids, position_ids=positions, attention_mask=mask, past_key_values=cache, use_cache=True
    )
    hidden: Tensor = output.last_hidden_state
    return hidden


def _draw(
    model: LanguageModel, hidden: Float[Tensor, "R D"], noise: Float[Tensor, " R"], temperature: float
) -> tuple[Int64[Tensor, " R"], Float[Tensor, " R"]]:
    """(token, log-probability) a row: the first token whose cumulative probability exceeds the row's noise."""
    if temperature == 0:
        likeliest = torch.log_softmax(model.causal.get_output_embeddings()(hidden).float(), dim=-1).max(dim=-1)
        return likeliest.indices, likeliest.values
    logprobs = torch.log_softmax(model.causal.get_output_embeddings()(hidden).float() / temperature, dim=-1)
    cumulative = logprobs.exp().cumsum(dim=-1)
    target = noise.to(cumulative.dtype)[:, None] * cumulative[:, -1:]
    tokens = torch.searchsorted(cumulative, target, right=True).clamp_(max=logprobs.shape[1] - 1)
    return tokens[:, 0], logprobs.gather(1, tokens)[:, 0]


def _uniform_noise(places: Sequence[tuple[int, int]], steps: int, seed: int) -> Float[Tensor, "R S"]:
    """(R, S) numbers in [0, 1): a stream for each (prompt index, reply index), the same in any batch."""
    generator = torch.Generator()
    streams = []
    for index, reply in places:
        generator.manual_seed(((seed * 1_000_003 + index) * 1_009 + reply) % 2**64)
        streams.append(torch.rand(steps, generator=generator))
    return torch.stack(streams)


def _says_stop(model: LanguageModel, tokens: list[int], stops: tuple[str, ...]) -> bool:
    """Whether a text that ends the reply has come up, or a model without a template has begun to write the human's
    next turn."""
    said = [*stops, *filter(None, [model.format.stop_text])]
    if not said:
        return False
    end = model.tokenizer.decode(tokens[-12:])
    return any(stop in end for stop in said)


@dataclass(frozen=True)
class ModelSampler:
    """The Sampler protocol on a language model.

    Attributes:
        model: who writes.
        limits: length, temperature, batch.
        max_prompt_tokens: longer conversations lose whole turns from the left.
    """

    model: LanguageModel
    limits: SamplingLimits
    max_prompt_tokens: int = 2048

    def with_limits(self, limits: ReplyLimits) -> "ModelSampler":
        own = replace(self.limits, max_new_tokens=limits.max_tokens, temperature=limits.temperature)
        return replace(self, limits=own)

    def sample(
        self, conversations: Sequence[Conversation], n: int, seed: int, on_text: OnText | None = None
    ) -> list[list[Reply]]:
        """n replies to each conversation.

        Raises:
            UserError: the last message of a conversation does not fit the model's context.
        """
        prompts = [self._prompt(conversation) for conversation in conversations]

        chat = self.model.format

        def on_token(index: int, reply: int, tokens: list[int]) -> None:
            if on_text is not None:
                on_text(index, reply, chat.text_so_far(tokens))

        drawn = generate(self.model, prompts, n, self.limits, seed, on_token if on_text else None)
        return [
            [
                Reply(chat.text(reply.tokens), reply.finished, len(reply.tokens), prompt_tokens=len(prompt))
                for reply in replies
            ]
            for prompt, replies in zip(prompts, drawn, strict=True)
        ]

    def _prompt(self, conversation: Conversation) -> list[int]:
        tokens = self.model.fit(conversation, self.max_prompt_tokens, self.limits.max_new_tokens)
        if tokens is None:
            raise UserError(
                f"the last message does not fit {self.max_prompt_tokens} tokens and the model's context; "
                "make it shorter"
            )
        return tokens
