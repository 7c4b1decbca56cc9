from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate import asked_model
from concordant.evaluate.answers import Answers
from concordant.evaluate.asked_model import AskedModel, Opening, Writing
from concordant.models.language_model import LanguageModel
from concordant.models.option_scores import OptionScore, Question, option_scores
from scripted_asked import no_model
from toy_model import ToyModels

QUESTIONS = [Question(f"number {number}", (" one", " two and three")) for number in range(20)]
TALKS = [Opening(Conversation().human(f"hello {number}"), "good") for number in range(5)]


def test_what_is_known_is_not_asked_again(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.chat)
    first = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl"))
    found, written = first.options(QUESTIONS), first.replies(TALKS, Writing(2, 8))
    again = AskedModel("m", no_model, Answers(tmp_path / "a.jsonl"))
    assert again.options(QUESTIONS) == found
    assert again.replies(TALKS, Writing(2, 8)) == written
    assert len(found) == 20 and all(score.logprob < 0 for pair in found for score in pair)
    with pytest.raises(AssertionError, match="loaded"):
        again.replies(TALKS, Writing(2, 8, seed=1))


def test_a_killed_measurement_goes_on(toy: ToyModels, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = LanguageModel.load(toy.chat)
    whole = AskedModel("m", lambda: model, Answers(tmp_path / "whole.jsonl")).options(QUESTIONS)
    asked: list[int] = []

    def dies(model: LanguageModel, questions: list[Question]) -> Iterator[list[tuple[int, int, OptionScore]]]:
        asked.append(len(questions))
        for number, group in enumerate(option_scores(model, questions, row_tokens=64)):
            if number == 2 and len(asked) == 1:
                raise KeyboardInterrupt
            yield group

    monkeypatch.setattr(asked_model, "option_scores", dies)
    with pytest.raises(KeyboardInterrupt):
        AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl")).options(QUESTIONS)
    gone_on = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl")).options(QUESTIONS)
    assert 0 < asked[1] < asked[0] == 20
    for one, other in zip(whole, gone_on, strict=True):
        assert [score.logprob for score in one] == pytest.approx([score.logprob for score in other], abs=1e-4)


def test_a_group_of_replies_is_drawn_anew_as_a_whole(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.chat)
    path = tmp_path / "a.jsonl"
    whole = AskedModel("m", lambda: model, Answers(path)).replies(TALKS, Writing(2, 8))
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:2]))
    assert AskedModel("m", lambda: model, Answers(path)).replies(TALKS, Writing(2, 8)) == whole


def test_stops_end_a_text_and_are_not_part_of_it(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.plain)
    asked = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl"))
    free = asked.replies([Opening("hello")], Writing(1, 60))[0][0]
    stop = next(sign for sign in free[3:] if sign.isascii() and sign.isprintable())
    stopped = asked.replies([Opening("hello")], Writing(1, 60, stops=(stop,)))[0][0]
    assert stopped == free[: free.index(stop)] and len(stopped) < len(free)


def test_at_temperature_0_the_seed_does_not_matter(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.chat)
    asked = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl"))
    first, other = (asked.replies([Opening("hello")], Writing(2, 12, 0.0, seed=seed))[0] for seed in (0, 1))
    assert first == other and first[0] == first[1]
    before = model.tokenizer.encode("hello")
    with torch.inference_mode():
        likeliest = int(model.network(torch.tensor([before])).logits[0, -1].argmax())
    assert first[0].startswith(model.tokenizer.decode([likeliest], skip_special_tokens=True).rstrip("\ufffd"))


def test_a_message_that_does_not_fit_is_named(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.chat)
    asked = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="does not fit the context of m"):
        asked.replies([Opening(Conversation().human("z" * 500))], Writing(1, 8))
    with pytest.raises(UserError, match="300 new tokens leave no room in the context of m"):
        asked.replies([Opening("hello")], Writing(1, 300))
    assert asked.replies([Opening("z" * 500)], Writing(1, 4))[0]  # a text loses its beginning
