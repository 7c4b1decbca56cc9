"""Votes as preferences: pairs of answers out of StackExchange dumps, for preference-model pretraining (paper A.2).

Also questions with their best answers as dialogues, for context distillation (A.1).

A dump's ``Posts.xml`` is read twice and never held: first ids and votes, which decide the pairs, then the text of the
posts that stand in one. An answer's score is that of Askell et al. 2021 (``answer_score``). A dump gives upvotes minus
downvotes, which is taken for the upvotes. Left out: other sites' votes (Reddit, Wikipedia), 7z archives, SQL.
"""

import bz2
import gzip
import itertools
import math
import random
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, NamedTuple, cast
from xml.etree import ElementTree

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.html_text import plain_text

LABELLED = "{label}:{reply}"
"""How a label stands before a reply, as text, so that both sides of a binarised pair share their prompt."""
GOOD, BAD = "GOOD", "BAD"

_QUESTION, _ANSWER = "1", "2"
_WANTED = "give a StackExchange dump's Posts.xml, plain, .gz or .bz2"


@dataclass(frozen=True, slots=True)
class VotedPairs:
    """What dumps held.

    Attributes:
        preferences: one a pair, side ``a`` being the better answer, in order of the files and of their questions.
        dropped: reason → how many, of what the reason names (posts, answers, questions or pairs).
        posts: all posts read.
    """

    preferences: list[Preference]
    dropped: Counter[str]
    posts: int


class _Pair(NamedTuple):
    """Ids of a question and of its better and worse answer."""

    question: int
    better: int
    worse: int


@dataclass(slots=True)
class _Votes:
    """What a first reading keeps of a file.

    Attributes:
        accepted: question → id of its accepted answer, or 0.
        answers: question → (id, votes) of its answers.
    """

    accepted: dict[int, int] = field(default_factory=dict)
    answers: dict[int, list[tuple[int, int]]] = field(default_factory=dict)


def answer_score(votes: int, accepted: bool) -> int:
    """round(log2(1 + votes)), −1 for negative votes; one more for the answer that the questioner accepted.

    The predecessor's rule does not say what an accepted answer with negative votes gets; here −1 + 1 = 0.
    """
    return (round(math.log2(1 + votes)) if votes >= 0 else -1) + accepted


def read_posts(paths: Sequence[Path], per_question: int, limit: int | None, seed: int) -> VotedPairs:
    """Pairs of answers with different scores out of dumps.

    Args:
        paths: ``Posts.xml`` files, plain or packed by gzip or bzip2 (told apart by content).
        per_question: most pairs of one question, drawn with the seed.
        limit: most pairs of all files, drawn with the seed; None for all.
        seed: the same seed draws the same pairs.

    Raises:
        UserError: a file is absent, cut short, no Posts.xml, or there is no pair in any of them.
    """
    found = VotedPairs([], Counter(), 0)
    chosen: list[tuple[int, _Pair]] = []
    posts = 0
    for place, path in enumerate(paths):
        votes, read = _survey(path, found.dropped)
        posts += read
        pairs = _pairs(votes, per_question, random.Random(f"pairs:{seed}:{path.name}"), found.dropped)
        chosen += [(place, pair) for pair in pairs]
    if limit is not None and limit < len(chosen):
        found.dropped["pair beyond the limit"] = len(chosen) - limit
        drawn = sorted(random.Random(f"limit:{seed}").sample(range(len(chosen)), limit))
        chosen = [chosen[index] for index in drawn]
    for place, path in enumerate(paths):
        wanted = [pair for owner, pair in chosen if owner == place]
        found.preferences.extend(_preferences(path, wanted, found.dropped))
    if not found.preferences:
        names = ", ".join(str(path) for path in paths)
        raise UserError(f"{names}: no two answers to one question with different scores among {posts} posts; {_WANTED}")
    return replace(found, posts=posts)


@dataclass(frozen=True, slots=True)
class Dialogues:
    """Questions with their best answers.

    Attributes:
        conversations: a human and an assistant turn each, in order of the files and of their questions.
        dropped: reason → how many.
        posts: all posts read.
    """

    conversations: list[Conversation]
    dropped: Counter[str]
    posts: int


def read_dialogues(paths: Sequence[Path]) -> Dialogues:
    """Each question of the dumps with its best answer, as a dialogue for context distillation (App. A.1).

    The best has the highest ``answer_score``, then the most votes, then came first; it must have a score above 0.

    Raises:
        UserError: as ``read_posts``, or no question has such an answer.
    """
    found = Dialogues([], Counter(), 0)
    posts = 0
    for path in paths:
        votes, read = _survey(path, found.dropped)
        posts += read
        best: dict[int, int] = {}
        for question, accepted in sorted(votes.accepted.items()):
            scored = [
                (answer_score(score, number == accepted), score, -number)
                for number, score in votes.answers.get(question, [])
            ]
            if max(scored, default=(0, 0, 0))[0] > 0:
                best[question] = -max(scored)[2]
            else:
                found.dropped["question without an answer that was voted for"] += 1
        texts = _texts(path, {*best.keys(), *best.values()}) if best else {}
        for question, answer in best.items():
            if texts[question] and texts[answer]:
                found.conversations.append(Conversation().human(texts[question]).assistant(texts[answer]))
            else:
                found.dropped["dialogue with an empty turn"] += 1
    if not found.conversations:
        names = ", ".join(str(path) for path in paths)
        raise UserError(f"{names}: no question with an answer that was voted for among {posts} posts; {_WANTED}")
    return replace(found, posts=posts)


def binarised(preferences: Iterable[Preference]) -> list[Preference]:
    """Two comparisons of each: GOOD:better > BAD:better, then BAD:worse > GOOD:worse (Askell et al. 2021).

    So the model learns to say of a single reply whether it is good, and every reply is better once and worse once.
    """
    return [
        replace(preference, comparison=Comparison(preference.prompt, *sides), preferred="a", models=None)
        for preference in preferences
        for sides in (
            (_labelled(GOOD, preference.chosen), _labelled(BAD, preference.chosen)),
            (_labelled(BAD, preference.rejected), _labelled(GOOD, preference.rejected)),
        )
    ]


def _labelled(label: str, reply: str) -> str:
    return LABELLED.format(label=label, reply=reply)


def _survey(path: Path, dropped: Counter[str]) -> tuple[_Votes, int]:
    """(votes of a file, posts read): numbers only."""
    votes, posts = _Votes(), 0
    for row in _rows(path):
        posts += 1
        kind = row.get("PostTypeId")
        numbers = [_number(row.get(name)) for name in ("Id", "ParentId" if kind == _ANSWER else "Id", "Score")]
        if kind not in (_QUESTION, _ANSWER):
            dropped["post that is neither question nor answer"] += 1
        elif None in numbers:
            dropped["post without an id, a question or a score"] += 1
        else:
            number, question, score = cast("list[int]", numbers)
            if kind == _QUESTION:
                votes.accepted[number] = _number(row.get("AcceptedAnswerId")) or 0
            else:
                votes.answers.setdefault(question, []).append((number, score))
    return votes, posts


def _pairs(votes: _Votes, per_question: int, draw: random.Random, dropped: Counter[str]) -> list[_Pair]:
    """The pairs of a file, questions in order of their ids."""
    pairs: list[_Pair] = []
    for question in sorted(votes.answers.keys() - votes.accepted.keys()):
        dropped["answer whose question is not in the file"] += len(votes.answers[question])
    for question, accepted in sorted(votes.accepted.items()):
        answers = sorted(set(votes.answers.get(question, [])))
        if len(answers) < 2:
            dropped["question with fewer than two answers"] += 1
            continue
        scored = [(answer_score(score, number == accepted), number) for number, score in answers]
        found = [
            _Pair(question, max(one, other)[1], min(one, other)[1])
            for one, other in itertools.combinations(scored, 2)
            if one[0] != other[0]
        ]
        if equal := math.comb(len(answers), 2) - len(found):
            dropped["pair with equal scores"] += equal
        if len(found) > per_question:
            dropped[f"pair beyond {per_question} of one question"] += len(found) - per_question
            found = [found[index] for index in sorted(draw.sample(range(len(found)), per_question))]
        pairs += found
    return pairs


def _preferences(path: Path, pairs: Sequence[_Pair], dropped: Counter[str]) -> Iterator[Preference]:
    """The pairs with their texts, read from the file once more; those that teach nothing are counted."""
    texts = _texts(path, {number for pair in pairs for number in pair}) if pairs else {}
    for pair in pairs:
        prompt = Conversation().human(texts[pair.question])
        comparison = Comparison(prompt, texts[pair.better], texts[pair.worse])
        preference = Preference(comparison, "a", Objective.HELPFUL, source=path.name, worker_kind="person")
        flaw = "empty question" if not texts[pair.question] else preference.flaw()
        if flaw is None:
            yield preference
        else:
            dropped[f"pair with {flaw}"] += 1


def _texts(path: Path, wanted: set[int]) -> dict[int, str]:
    """Plain text of the posts with these ids; a question's title is its first paragraph."""
    texts: dict[int, str] = {}
    for row in _rows(path):
        number = _number(row.get("Id"))
        if number in wanted:
            title = row.get("Title", "").strip()
            texts[number] = f"{title}\n\n{plain_text(row.get('Body', ''))}".strip()
    return texts


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None


def _rows(path: Path) -> Iterator[Mapping[str, str]]:
    """The attributes of every ``<row>`` of a dump, one after the other; no row is kept."""
    with _opened(path) as file:
        root: ElementTree.Element | None = None
        for event, element in ElementTree.iterparse(file, events=("start", "end")):
            if root is None:
                root = element
                if root.tag != "posts":
                    raise UserError(f"{path} is no Posts.xml (it holds <{root.tag}>, not <posts>); {_WANTED}")
            if event == "end" and element.tag == "row":
                yield element.attrib
                root.clear()


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The unpacked file; while it is read, what is wrong with it becomes one line."""
    try:
        with path.open("rb") as raw:
            magic = raw.read(3)
            raw.seek(0)
            if magic[:2] == b"\x1f\x8b":
                yield cast("IO[bytes]", gzip.GzipFile(fileobj=raw))
            else:
                yield cast("IO[bytes]", bz2.BZ2File(raw)) if magic == b"BZh" else raw
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {_WANTED}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; {_WANTED}") from None
    except ElementTree.ParseError as error:
        raise UserError(f"{path} is no XML, or is cut short or damaged ({error}); {_WANTED}") from None
    except (EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # of this machine, and not of the file's content
        raise UserError(f"{path} is cut short or damaged ({error}); fetch it again") from None
