from collections.abc import Iterator
from pathlib import Path

import pytest

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
    free = asked.replies([Opening("hello")], Writing(1, 40, 0.0))[0][0]
    stop = free[3:5]
    stopped = asked.replies([Opening("hello")], Writing(1, 40, 0.0, (stop,)))[0][0]
    assert stopped == free[: free.index(stop)]
    assert (
        asked.replies([Opening("hello")], Writing(1, 40, 0.0, seed=9))[0][0] == free
    )  # the likeliest, whatever the seed


def test_a_message_that_does_not_fit_is_named(toy: ToyModels, tmp_path: Path) -> None:
    model = LanguageModel.load(toy.chat)
    asked = AskedModel("m", lambda: model, Answers(tmp_path / "a.jsonl"))
    with pytest.raises(UserError, match="does not fit the context of m"):
        asked.replies([Opening(Conversation().human("z" * 500))], Writing(1, 8))
    with pytest.raises(UserError, match="300 new tokens leave no room in the context of m"):
        asked.replies([Opening("hello")], Writing(1, 300))
    assert asked.replies([Opening("z" * 500)], Writing(1, 4))[0]  # a text loses its beginning
