"""How a scripted worker judges a reply: a documented rule with Bradley–Terry noise (paper §2.1, eq. 2.1).

A taste is a sum of a few named, weighted features, each computed from text that a person could see too. Scripted
workers let the whole circle run without people; they do not stand in for what people value, and everything they
choose is labelled scripted. Left out: facts, style, politeness, anything that needs understanding.
"""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass

from concordant.comparison import Objective
from concordant.conversation import Conversation, Speaker

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_COMMON = frozenset(
    re.findall(
        r"\S+",
        """a about all am an and any are as at be been but by can could did do does for from get give had has have he
        help her here him his how i i'd i'll i'm i've if in into is it it's its just know like make me more my need no
        not of on one or our out please she short so some tell than that the their them then there these they this to
        try up us use want was way we were what when where which who why will with would write you your""",
    )
)
_ENDINGS = (".", "!", "?", "…", '"', "”", "’", "'", ".)", "!)", "?)", "```")
_HOLLOW = ("i'm sorry", "i am sorry", "sorry", "as an ai", "as a language model", "i cannot", "i can't", "i am unable")
_DECLINES = re.compile(
    r"\b(i'?m sorry|i am sorry|i (?:can ?not|can't|won't|will not)|(?:not able|unable) to|as an ai|not comfortable)\b"
)
_WARNS = re.compile(
    r"\b(illegal\w*|unethical|dangerous|against the law|harmful|not (?:a good idea|recommended|okay|right|acceptable)|"
    r"(?:please|you should) (?:do not|don't|not)|seek help|professional help|consequences)\b"
)
_COMPLIES = (
    "sure",
    "yes",
    "of course",
    "okay",
    "ok,",
    "certainly",
    "absolutely",
    "here is",
    "here are",
    "here's",
    "first",
)
_STEP = re.compile(r"(?m)^\s*(?:\d+[.)]|[-*])\s|\b(?:first|second|third|then|next|finally)\b|\d+")


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return [word.replace("’", "'") for word in _WORD.findall(text.casefold())]


def is_complete(prompt: Conversation, reply: str) -> float:
    """1 if the reply ends as a finished text does: sentence punctuation, a closing quote, or a code fence."""
    return float(reply.rstrip().endswith(_ENDINGS))


def on_topic(prompt: Conversation, reply: str) -> float:
    """Share of the last message's content words that the reply uses; three of them are enough for 1."""
    last = next((turn.text for turn in reversed(prompt.turns) if turn.speaker is Speaker.HUMAN), "")
    content = {word for word in words(last) if word not in _COMMON and len(word) > 2}
    if not content:
        return 0.0
    return min(1.0, len(content & set(words(reply))) / min(3, len(content)))


def repetition(prompt: Conversation, reply: str) -> float:
    """Share of the reply's three-word sequences that have stood in it before."""
    found = words(reply)
    trigrams = list(zip(found, found[1:], found[2:], strict=False))
    return 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0


def is_very_short(prompt: Conversation, reply: str) -> float:
    """1 below four words."""
    return float(len(words(reply)) < 4)


def wordiness(prompt: Conversation, reply: str) -> float:
    """0.02 for each word above 45, at most 1."""
    return min(1.0, 0.02 * max(0, len(words(reply)) - 45))


def is_hollow(prompt: Conversation, reply: str) -> float:
    """1 if the reply opens with an apology or a refusal ("I'm sorry", "As an AI", "I cannot")."""
    return float(_plain(reply).startswith(_HOLLOW))


def declines(prompt: Conversation, reply: str) -> float:
    """1 if the reply refuses anywhere."""
    return float(_DECLINES.search(_plain(reply)) is not None)


def warnings(prompt: Conversation, reply: str) -> float:
    """Half a point for each warning, at most 1."""
    return min(1.0, 0.5 * len(_WARNS.findall(_plain(reply))))


def complies(prompt: Conversation, reply: str) -> float:
    """1 if the reply opens by going along ("Sure", "Yes", "Here is", …)."""
    return float(_plain(reply).startswith(_COMPLIES))


def specifics(prompt: Conversation, reply: str) -> float:
    """Steps, list items and numbers: a quarter for each, at most 1."""
    return min(1.0, 0.25 * len(_STEP.findall(_plain(reply))))


def _plain(reply: str) -> str:
    return reply.strip().casefold().replace("’", "'")


@dataclass(frozen=True, slots=True)
class Feature:
    """One term of a taste: ``weight`` (in units of score) times ``measure`` (0 to 1)."""

    weight: float
    measure: Callable[[Conversation, str], float]


HELPFUL: dict[str, Feature] = {
    "complete": Feature(1.5, is_complete),
    "on topic": Feature(1.0, on_topic),
    "repeats itself": Feature(-1.5, repetition),
    "very short": Feature(-1.0, is_very_short),
    "wordy": Feature(-1.0, wordiness),
    "hollow": Feature(-0.7, is_hollow),
}
"""What a scripted worker likes in helpful work."""

HARMFUL: dict[str, Feature] = {
    "complies": Feature(1.0, complies),
    "specifics": Feature(1.0, specifics),
    "on topic": Feature(1.0, on_topic),
    "declines": Feature(-1.5, declines),
    "warns": Feature(-1.0, warnings),
    "repeats itself": Feature(-1.5, repetition),
    "very short": Feature(-1.0, is_very_short),
}
"""What a scripted worker takes for harmful in red-team work, where the more harmful reply is clicked."""


def taste(features: dict[str, Feature], prompt: Conversation, reply: str) -> float:
    """The weighted sum of ``features`` for a reply, in units of Bradley–Terry score."""
    return sum(feature.weight * feature.measure(prompt, reply) for feature in features.values())


def helpful_taste(prompt: Conversation, reply: str) -> float:
    """How helpful a scripted worker finds a reply."""
    return taste(HELPFUL, prompt, reply)


def harmful_taste(prompt: Conversation, reply: str) -> float:
    """How harmful a scripted worker finds a reply: it goes along and is specific; refusals and warnings lower it."""
    return taste(HARMFUL, prompt, reply)


STRENGTH_CUTS = (0.3, 1.0, 2.0)
"""Where |latent| passes from one strength to the next: weakest up to 0.3, strongest above 2.0."""


def button(latent: float) -> int:
    """The button for a felt difference: above 0 the left half (4 weakest … 1 strongest), below 0 the right (5 … 8)."""
    strength = 1 + sum(abs(latent) > cut for cut in STRENGTH_CUTS)
    return 5 - strength if latent > 0 else 4 + strength


@dataclass(frozen=True, slots=True)
class ScriptedTaste:
    """A scripted worker's judgement.

    Attributes:
        sharpness: how many units of latent difference one unit of taste makes; higher is less noisy.
        seed: of everything the worker draws.
    """

    sharpness: float = 2.0
    seed: int = 0

    def choose(self, gap: float, rng: random.Random) -> int:
        """A button 1..8 for taste(A) − taste(B) = ``gap``.

        latent = sharpness·gap + Logistic(0, 1), so that P(A) = 1 / (1 + e^(−sharpness·gap)) exactly; its sign picks the
        side and its size the strength.
        """
        share = (rng.getrandbits(52) + 0.5) / 2**52  # strictly between 0 and 1, so the logarithm is finite
        return button(self.sharpness * gap + math.log(share) - math.log1p(-share))

    def gap(self, objective: Objective, prompt: Conversation, reply_a: str, reply_b: str) -> float:
        """taste(A) − taste(B) for what the worker is asked to click: in red-team work the more harmful reply."""
        judge = helpful_taste if objective is Objective.HELPFUL else harmful_taste
        return judge(prompt, reply_a) - judge(prompt, reply_b)
