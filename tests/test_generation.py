"""Sampling: token for token what a plain forward pass with the same noise gives, whoever else is in the batch."""

from collections.abc import Sequence

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.generation import ModelSampler, SampledReply, SamplingLimits, generate
from concordant.models.language_model import LanguageModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.sampler import Sampler
from toy_model import ToyModels

TEXTS = ("how", "how do I bake bread", "how do I bake bread, and what of the flour and water and salt?", "é")
LIMITS = SamplingLimits(max_new_tokens=40)


@pytest.fixture(scope="module")
def model(toy: ToyModels) -> LanguageModel:
    return LanguageModel.load(toy.chat)


@pytest.fixture(scope="module")
def prompts(model: LanguageModel) -> list[list[int]]:
    return [model.format.prompt(Conversation().human(text)) for text in TEXTS]


def tokens_of(replies: Sequence[Sequence[SampledReply]]) -> list[list[list[int]]]:
    return [[reply.tokens for reply in group] for group in replies]


def plain_reply(
    model: LanguageModel, prompt: list[int], place: tuple[int, int], limits: SamplingLimits, seed: int
) -> SampledReply:
    """One reply without cache, batch or padding: the whole text anew for every token."""
    stream = torch.Generator().manual_seed((seed * 1_000_003 + place[0]) * 1_009 + place[1])
    noise = torch.rand(limits.max_new_tokens, generator=stream)
    reply = SampledReply()
    for number in noise:
        with torch.no_grad():
            logits = model.network(torch.tensor([[*prompt, *reply.tokens]])).logits[0, -1]
        chances = torch.softmax(logits / limits.temperature, dim=0)
        token = int((chances.cumsum(0) <= number).sum())
        reply.tokens.append(token)
        reply.logprobs.append(float(chances[token].log()))
        stop = model.format.stop_text
        if token == model.format.end_of_turn or (stop and stop in model.tokenizer.decode(reply.tokens)):
            reply.finished = True
            break
    return reply


def check(found: SampledReply, expected: SampledReply) -> None:
    assert found.tokens == expected.tokens
    assert found.logprobs == pytest.approx(expected.logprobs, abs=1e-4)
    assert found.finished == expected.finished


@pytest.mark.parametrize("kind", ["chat", "plain", "gpt2"])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_replies_are_those_of_a_plain_forward_pass(kind: str, temperature: float, toy: ToyModels) -> None:
    model = LanguageModel.load(getattr(toy, kind))
    prompts = [model.format.prompt(Conversation().human(text)) for text in TEXTS]
    limits = SamplingLimits(30, temperature)
    found = generate(model, prompts, 2, limits, seed=7)
    for index, group in enumerate(found):
        for place, reply in enumerate(group):
            check(reply, plain_reply(model, prompts[index], (index, place), limits, seed=7))


def test_a_row_that_ends_leaves_the_others_as_they_are(model: LanguageModel, prompts: list[list[int]]) -> None:
    limits = SamplingLimits(60)
    found = generate(model, prompts, 16, limits, seed=2)
    places = [(index, place) for index in range(4) for place in range(16)]
    ended = [(index, place) for index, place in places if found[index][place].finished]
    assert len({len(found[index][place].tokens) for index, place in ended}) >= 4  # rows leave at several steps
    staying = next(place for place in places if place not in ended)
    for index, place in (*ended[-3:], staying, places[-1]):
        check(found[index][place], plain_reply(model, prompts[index], (index, place), limits, 2))


def test_company_changes_nothing(model: LanguageModel, prompts: list[list[int]]) -> None:
    """A reply depends on the seed, its prompt, and the two places, and not on what shares its batch."""
    together = tokens_of(generate(model, prompts, 3, LIMITS, seed=5))
    assert tokens_of(generate(model, prompts[:1], 3, LIMITS, seed=5)) == together[:1]
    assert tokens_of(generate(model, prompts[:3], 3, LIMITS, seed=5)) == together[:3]
    assert tokens_of(generate(model, prompts, 1, LIMITS, seed=5)) == [group[:1] for group in together]
    for rows in (1, 2, 4, 5):  # also fewer than the replies to one prompt
        assert tokens_of(generate(model, prompts, 3, SamplingLimits(40, rows=rows), seed=5)) == together


def test_no_batch_is_larger_than_allowed(
    model: LanguageModel, prompts: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = model.body.forward

    def watched(*args: object, **kwargs: object) -> object:
        seen.append(len(kwargs["input_ids"]))  # type: ignore[arg-type]
        return forward(*args, **kwargs)

    monkeypatch.setattr(model.body, "forward", watched)
    generate(model, prompts, 5, SamplingLimits(4, rows=3), seed=5)
    assert max(seen) == 3


def test_the_same_prompt_twice_gets_two_replies(model: LanguageModel, prompts: list[list[int]]) -> None:
    first, second = tokens_of(generate(model, [prompts[0], prompts[0]], 1, LIMITS, seed=5))
    assert first != second


def test_seeds(model: LanguageModel, prompts: list[list[int]]) -> None:
    one, again, other = (tokens_of(generate(model, prompts, 1, LIMITS, seed)) for seed in (5, 5, 6))
    assert one == again
    assert one != other
    torch.manual_seed(0)
    state = torch.get_rng_state()
    for seed in (-1, 2**40, 10**30):
        generate(model, prompts[:1], 1, SamplingLimits(1), seed)
    assert torch.equal(torch.get_rng_state(), state)


def test_drawn_tokens_are_as_frequent_as_their_probability_says(model: LanguageModel, prompts: list[list[int]]) -> None:
    """Over all tokens: the sum of squared errors in units of its expectation, as in a chi-squared test."""
    number = 3000
    drawn = generate(model, prompts[:1], number, SamplingLimits(1, 0.8, rows=number), seed=1)[0]
    counts = torch.bincount(torch.tensor([reply.tokens[0] for reply in drawn]), minlength=300)
    with torch.no_grad():
        chances = torch.softmax(model.network(torch.tensor([prompts[0]])).logits[0, -1] / 0.8, dim=0)
    error = ((counts - number * chances) ** 2 / (number * chances)).sum().item()
    assert 299 - 5 * (2 * 299) ** 0.5 < error < 299 + 5 * (2 * 299) ** 0.5


def test_a_cold_sampler_is_greedy(model: LanguageModel, prompts: list[list[int]]) -> None:
    (reply,) = generate(model, prompts[:1], 1, SamplingLimits(10, temperature=1e-4), seed=1)[0]
    tokens = list(prompts[0])
    for token in reply.tokens:
        with torch.no_grad():
            assert token == int(model.network(torch.tensor([tokens])).logits[0, -1].argmax())
        tokens.append(token)


def test_log_probs_are_those_of_the_trainer(model: LanguageModel, prompts: list[list[int]]) -> None:
    replies = generate(model, prompts, 3, SamplingLimits(40, 0.7), seed=3)
    rows = [
        SharedRow(prompt, [reply.tokens for reply in group]) for prompt, group in zip(prompts, replies, strict=True)
    ]
    batch = RowBatch.pack(rows)
    at, columns, predictors = batch.reply_tokens()
    with torch.no_grad():
        found, _ = model.token_logprobs(model.hidden(batch)[at, predictors], batch.input_ids[at, columns], 0.7)
    sampled = [number for group in replies for reply in group for number in reply.logprobs]
    assert found.tolist() == pytest.approx(sampled, abs=1e-5)


def test_limit_and_end(model: LanguageModel, prompts: list[list[int]]) -> None:
    replies = [reply for group in generate(model, prompts, 8, LIMITS, seed=4) for reply in group]
    end = model.format.end_of_turn
    for reply in replies:
        assert 1 <= len(reply.tokens) == len(reply.logprobs) <= 40
        assert reply.finished == (reply.tokens[-1] == end)
        assert reply.finished or len(reply.tokens) == 40
        assert end not in reply.tokens[:-1]
    assert {reply.finished for reply in replies} == {True, False}


def test_no_prompts_no_replies(model: LanguageModel) -> None:
    assert generate(model, [], 2, LIMITS, seed=0) == []


class Scripted(LanguageModel):
    """Writes this text, whatever it is asked."""

    def writes(self, text: str, monkeypatch: pytest.MonkeyPatch) -> "Scripted":
        tokens = iter([*self.tokenizer(text)["input_ids"], *[self.format.end_of_turn] * 99])

        def draw(*_: object) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.tensor([next(tokens)]), torch.zeros(1)

        monkeypatch.setattr("concordant.models.generation._draw", draw)
        return self


def test_without_a_template_the_humans_next_turn_ends_a_reply(toy: ToyModels, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = LanguageModel.load(toy.plain)
    text = " Take flour – 好.\n\nHuman: Thanks!"
    model = Scripted(loaded.network, loaded.tokenizer, loaded.format).writes(text, monkeypatch)
    shown: list[str] = []
    sampler = ModelSampler(model, SamplingLimits(200))
    asked = Conversation().human("how")
    (reply,) = sampler.sample([asked], 1, 0, lambda _, __, text: shown.append(text))[0]
    assert (reply.text, reply.finished) == ("Take flour – 好.", True)
    assert reply.tokens == len(loaded.tokenizer(" Take flour – 好.\n\nHuman:")["input_ids"])
    assert len(shown) == reply.tokens
    for before, after in zip(shown, [*shown[1:], reply.text], strict=True):
        assert after.startswith(before) and "\ufffd" not in before
    assert shown[-1] == reply.text


def test_a_sampler_shows_the_text_as_it_grows(model: LanguageModel) -> None:
    sampler = ModelSampler(model, LIMITS)
    assert isinstance(sampler, Sampler)
    asked = [Conversation().human(text) for text in TEXTS]
    shown: dict[tuple[int, int], list[str]] = {}
    replies = sampler.sample(asked, 2, 3, lambda *place: shown.setdefault(place[:2], []).append(place[2]))
    assert replies == sampler.sample(asked, 2, 3)
    assert sorted(shown) == [(index, reply) for index in range(4) for reply in range(2)]
    for (index, place), texts in shown.items():
        final = replies[index][place]
        assert len(texts) == final.tokens
        for before, after in zip(texts, [*texts[1:], final.text], strict=True):
            assert after.startswith(before)


def test_a_message_that_cannot_fit_is_refused(toy: ToyModels) -> None:
    """With learned positions there is no place beyond the context: turns go first, and then comes a refusal."""
    sampler = ModelSampler(LanguageModel.load(toy.gpt2), SamplingLimits(56))
    talk = Conversation().human("x" * 200).assistant("y" * 100).human("z" * 80)
    assert len(sampler.sample([talk], 1, 0)[0]) == 1
    with pytest.raises(UserError, match=r"the last message does not fit .*; make it shorter"):
        sampler.sample([Conversation().human("x" * 200)], 1, 0)
