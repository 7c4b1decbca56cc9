"""A language model that is asked many things, and remembers what it said: scores of options, and replies.

It is loaded when the first thing is asked that it has not answered before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.answers import Answers, key_of
from concordant.models.generation import SamplingLimits, generate
from concordant.models.language_model import LanguageModel, context
from concordant.models.option_scores import OptionScore, Question, option_scores
from concordant.runs import Watch

_TOGETHER = 32
"""Replies that are drawn, and kept, together."""
_FEW = 512
"""Questions whose rows are cut into passes together."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What a model writes on from.

    Attributes:
        context: a text, or a conversation that awaits a reply.
        begun: of a conversation, how the reply begins; the model does not choose it.
    """

    context: str | Conversation
    begun: str = ""


@dataclass(frozen=True, slots=True)
class Writing:
    """How replies are drawn.

    Attributes:
        n: replies to each opening.
        max_new_tokens: of a reply.
        temperature: 0 takes the likeliest token always.
        stops: texts that end a reply and are not part of it.
        seed: of every draw.
    """

    n: int = 1
    max_new_tokens: int = 128
    temperature: float = 1.0
    stops: tuple[str, ...] = ()
    seed: int = 0


@dataclass
class AskedModel:
    """A model and its answers.

    Attributes:
        name: how it is called in tables; the model's own, or told apart from another's.
        load: gives the model; called once at most.
        answers: what it has said.
        watch: told of progress.
    """

    name: str
    load: Callable[[], LanguageModel]
    answers: Answers
    watch: Watch = field(default=lambda done, total, seen: None)

    @cached_property
    def model(self) -> LanguageModel:
        return self.load()

    def options(self, questions: Sequence[Question]) -> list[list[OptionScore]]:
        """The scores of every question's options, in order.

        Raises:
            UserError: an option is longer than the model's context.
        """
        keys = [key_of("options", _plain(question.context), question.options) for question in questions]
        wanted = {key: question for key, question in zip(keys, questions, strict=True) if key not in self.answers}
        missing = list(wanted.items())
        for start in range(0, len(missing), _FEW):
            self._score(missing[start : start + _FEW], start, len(missing))
        return [[OptionScore(*score) for score in self.answers[key]] for key in keys]

    def _score(self, missing: Sequence[tuple[str, Question]], before: int, total: int) -> None:
        """Compute and keep; an answer is kept when all options of its question are there."""
        found: list[dict[int, OptionScore]] = [{} for _ in missing]
        done = before
        for group in option_scores(self.model, [question for _, question in missing]):
            whole = []
            for question, option, score in group:
                found[question][option] = score
                if len(found[question]) == len(missing[question][1].options):
                    whole.append(question)
            self.answers.add((missing[place][0], _scores(found[place])) for place in whole)
            done += len(whole)
            self.watch(done, total, self.name)

    def replies(self, openings: Sequence[Opening], how: Writing) -> list[list[str]]:
        """n replies to each opening, in order, without what is given of them and without a stop.

        A group of openings is drawn anew as a whole if one of its answers is missing, so that a killed measurement
        ends with the same replies as one that was not.
        """
        settings = (how.n, how.max_new_tokens, how.temperature, how.stops, how.seed)
        together = max(1, _TOGETHER // how.n)
        answers: list[list[str]] = []
        for start in range(0, len(openings), together):
            group = openings[start : start + together]
            everyone = [(_plain(opening.context), opening.begun) for opening in group]
            keys = [key_of("replies", settings, everyone, place) for place in range(len(group))]
            if not all(key in self.answers for key in keys):
                drawn = self._write(group, replace(how, seed=how.seed * 1_000_000 + start))
                self.answers.add(zip(keys, drawn, strict=True))
            answers += [self.answers[key] for key in keys]
            self.watch(len(answers), len(openings), self.name)
        return answers

    def _write(self, openings: Sequence[Opening], how: Writing) -> list[list[str]]:
        model = self.model
        # Who goes on with a text ends it with the end of text, which is not the end of a turn.
        of_text = isinstance(openings[0].context, str) and model.tokenizer.eos_token
        limits = SamplingLimits(
            how.max_new_tokens, how.temperature, stops=(*how.stops, *([model.tokenizer.eos_token] if of_text else []))
        )
        prompts = [self._prompt(opening, how.max_new_tokens) for opening in openings]
        drawn = generate(model, prompts, how.n, limits, how.seed)
        return [[self._text(opening, reply.tokens, how.stops) for reply in of_one]
                for opening, of_one in zip(openings, drawn, strict=True)]  # fmt: skip

    def _prompt(self, opening: Opening, reply_tokens: int) -> list[int]:
        """Tokens to go on from; of a text that does not fit, the end."""
        model = self.model
        room = context(model.causal) - reply_tokens
        if isinstance(opening.context, Conversation):
            text = opening.begun if model.format.has_template or not opening.begun else f" {opening.begun}"
            begun = list(model.tokenizer.encode(text, add_special_tokens=False)) if text else []
            tokens = model.fit(opening.context, room - len(begun), reply_tokens + len(begun))
            if tokens is None:
                raise UserError(
                    f"a message does not fit the context of {self.name} with a reply of {reply_tokens} tokens; "
                    "leave it out, or lower the limit"
                )
            return [*tokens, *begun]
        if room < 1:
            raise UserError(f"{reply_tokens} new tokens leave no room in the context of {self.name}; ask for fewer")
        return list(model.tokenizer.encode(opening.context))[-room:]

    def _text(self, opening: Opening, tokens: Sequence[int], stops: Sequence[str]) -> str:
        if isinstance(opening.context, Conversation):
            text = self.model.format.text(tokens)
        else:  # not stripped: of a program, the first spaces matter
            text = str(
                self.model.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            )
        return text[: min((text.find(stop) for stop in stops if stop in text), default=len(text))]


def _plain(asked: str | Conversation) -> Any:
    return asked if isinstance(asked, str) else [[turn.speaker.value, turn.text] for turn in asked.turns]


def _scores(of_options: dict[int, OptionScore]) -> list[tuple[float, int, bool]]:
    ordered = (of_options[place] for place in sorted(of_options))
    return [(score.logprob, score.tokens, score.greedy) for score in ordered]
