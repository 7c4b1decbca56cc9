"""A model that is asked many things and answers by a rule, so that every number of an evaluation is known."""

from collections.abc import Callable, Sequence
from pathlib import Path

from concordant.conversation import Conversation
from concordant.evaluate.answers import Answers
from concordant.evaluate.asked_model import AskedModel, Opening, Writing
from concordant.models.language_model import LanguageModel
from concordant.models.option_scores import OptionScore, Question

Rule = Callable[[str, str], float]


def text_of(context: str | Conversation) -> str:
    return context if isinstance(context, str) else context.turns[-1].text


def no_model() -> LanguageModel:
    raise AssertionError("a model was loaded")


class ScriptedAsked(AskedModel):
    """Scores an option by a rule on (context, option), a word being a token; writes by another on the context."""

    def __init__(self, folder: Path, score: Rule, write: Callable[[str], str] = str, name: str = "scripted") -> None:
        super().__init__(name, no_model, Answers(folder / f"{name}.jsonl"))
        self._score_by = score
        self._write_by = write

    def options(self, questions: Sequence[Question]) -> list[list[OptionScore]]:
        return [
            [
                OptionScore(self._score_by(text_of(question.context), option), len(option.split()), False)
                for option in question.options
            ]
            for question in questions
        ]

    def replies(self, openings: Sequence[Opening], how: Writing) -> list[list[str]]:
        return [[self._write_by(text_of(opening.context)) for _ in range(how.n)] for opening in openings]
