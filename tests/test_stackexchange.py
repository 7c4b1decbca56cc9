"""Votes as preferences: scores and pairs worked out by hand, every post accounted for, and files that are none."""

import bz2
import gzip
import tracemalloc
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import quoteattr

import pytest

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.stackexchange import answer_score, binarised, read_dialogues, read_posts
from toy_lessons import preference

ALL = 1000


def question(number: int, accepted: int | None = None, body: str = "<p>Why?</p>", title: str = "A question") -> str:
    chosen = "" if accepted is None else f' AcceptedAnswerId="{accepted}"'
    return f'<row Id="{number}" PostTypeId="1"{chosen} Score="1" Title={quoteattr(title)} Body={quoteattr(body)} />'


def answer(number: int, parent: int, score: int, body: str | None = None) -> str:
    text = quoteattr(f"<p>answer {number}</p>" if body is None else body)
    return f'<row Id="{number}" PostTypeId="2" ParentId="{parent}" Score="{score}" Body={text} />'


def dump(path: Path, *rows: str, end: str = "</posts>") -> Path:
    text = '\ufeff<?xml version="1.0" encoding="utf-8"?>\n<posts>\n' + "\n".join(rows) + f"\n{end}"
    data = text.encode()
    path.write_bytes({".gz": gzip.compress(data), ".bz2": bz2.compress(data)}.get(path.suffix, data))
    return path


def test_answer_score() -> None:
    """log2 of 1, 2, 3 (1.58), 4, 6 (2.58), 12 (3.58) rounded; the accepted answer one more; negative votes −1."""
    assert [answer_score(votes, False) for votes in (0, 1, 2, 3, 5, 11)] == [0, 1, 2, 2, 3, 4]
    assert [answer_score(votes, True) for votes in (0, 1, 2)] == [1, 2, 3]
    assert [answer_score(votes, False) for votes in (-1, -9)] == [-1, -1]
    assert answer_score(-2, True) == 0


@pytest.mark.parametrize("name", ["Posts.xml", "Posts.xml.gz", "Posts.xml.bz2"])
def test_pairs_are_of_different_scores_better_first(name: str, tmp_path: Path) -> None:
    """Scores of 1's answers: 2 → 2 accepted, 3 → 2 (3 votes), 4 → 0: two pairs of three differ."""
    path = dump(
        tmp_path / name,
        question(1, accepted=2, title="What is 1 < 2?", body="<p>It is &lt;b&gt;.</p><pre>a\n  b</pre>"),
        answer(2, 1, 1),
        answer(3, 1, 3),
        answer(4, 1, 0),
    )
    found = read_posts([path], ALL, None, seed=0)
    assert [(item.chosen, item.rejected) for item in found.preferences] == [
        ("answer 2", "answer 4"),
        ("answer 3", "answer 4"),
    ]
    assert (found.posts, found.dropped) == (4, Counter({"pair with equal scores": 1}))
    first = found.preferences[0]
    assert first.prompt.first_human_turn == "What is 1 < 2?\n\nIt is <b>.\n\na\n  b"
    assert (first.preferred, first.objective, first.source) == ("a", Objective.HELPFUL, name)
    assert (first.worker_kind, first.strength) == ("person", None)


def test_what_is_left_out_is_counted(tmp_path: Path) -> None:
    path = dump(
        tmp_path / "Posts.xml",
        answer(2, 1, 5),  # before its question
        question(1),
        answer(3, 1, 0),
        answer(4, 1, 0, body=""),
        answer(5, 1, 1, body="<p>answer 3</p>"),
        question(10),
        answer(11, 10, 4),
        question(20),
        answer(31, 30, 4),
        '<row Id="40" PostTypeId="5" Score="1" Body="" />',
        '<row Id="41" PostTypeId="2" Score="1" Body="" />',
        '<row Id="x" PostTypeId="1" Score="1" Body="" />',
        question(50, body="", title=""),
        answer(51, 50, 4),
        answer(52, 50, 0),
    )
    found = read_posts([path], ALL, None, seed=0)
    # Scores of 1's answers: 2 → 3, 5 → 1, 3 → 0, 4 → 0.
    assert {(item.chosen, item.rejected) for item in found.preferences} == {
        ("answer 2", "answer 3"),
        ("answer 2", "answer 3"),  # answers 3 and 5 have the same words
    }
    assert len(found.preferences) == 2
    assert found.dropped == {
        "pair with equal scores": 1,
        "pair with equal replies": 1,
        "pair with empty reply": 2,
        "pair with empty question": 1,
        "question with fewer than two answers": 2,
        "answer whose question is not in the file": 1,
        "post that is neither question nor answer": 1,
        "post without an id, a question or a score": 2,
    }


def many(path: Path, questions: int = 6) -> Path:
    """Questions with five answers of 1, 3, 7, 15 and 31 votes: ten pairs each."""
    rows = []
    for number in range(100, 100 * questions + 1, 100):
        rows += [question(number), *(answer(number + i, number, 2**i - 1) for i in range(1, 6))]
    return dump(path, *rows)


def test_pairs_of_one_question_are_bounded(tmp_path: Path) -> None:
    path = many(tmp_path / "Posts.xml")
    assert len(read_posts([path], ALL, None, seed=0).preferences) == 60
    found = read_posts([path], 4, None, seed=0)
    assert len(found.preferences) == 24 and found.dropped == {"pair beyond 4 of one question": 36}
    assert read_posts([path], 4, None, seed=0) == found
    other = read_posts([path], 4, None, seed=1).preferences
    assert len(other) == 24 and other != found.preferences


def test_a_limit_draws_from_all_files(tmp_path: Path) -> None:
    paths = [many(tmp_path / "a.xml"), many(tmp_path / "b.xml.gz")]
    found = read_posts(paths, 4, 30, seed=0)
    sources = Counter(item.source for item in found.preferences)
    assert sources.keys() == {"a.xml", "b.xml.gz"} and sources.total() == 30
    assert found.dropped["pair beyond the limit"] == 18
    everything = read_posts(paths, 4, None, seed=0).preferences
    assert [item for item in everything if item in found.preferences] == found.preferences
    assert read_posts(paths, 4, 30, seed=0) == found
    assert read_posts(paths, 4, 99, seed=0).preferences == everything


def test_binarised() -> None:
    """As Askell et al. have it: GOOD:better > BAD:better and BAD:worse > GOOD:worse, whichever side was better."""
    asked = preference("how", "yes", "no")
    for item in (asked, asked.swap()):
        found = binarised([item])
        assert [(one.chosen, one.rejected) for one in found] == [("GOOD:yes", "BAD:yes"), ("BAD:no", "GOOD:no")]
        assert all((one.prompt, one.objective) == (asked.prompt, asked.objective) for one in found)
    assert binarised([]) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no XML, or is cut short or damaged"),
        (b"Roses are red\n", "is no XML, or is cut short or damaged"),
        (b"<users><row Id='1'/></users>", "is no Posts.xml .it holds <users>, not <posts>."),
        (b"<posts><row Id='1' PostTypeId='1' Score='1'/>", "is no XML, or is cut short or damaged"),
        (b"<posts/>", "no two answers to one question with different scores among 0 posts"),
        (gzip.compress(b"<posts>" + b" " * 9999 + b"</posts>", mtime=0)[:-12], "is cut short or damaged"),
        (gzip.compress(b"<posts></posts>", mtime=0)[:-5] + b"12345", "is cut short or damaged"),
        (bz2.compress(b"<posts>" + b" " * 9999 + b"</posts>")[:-12], "is cut short or damaged"),
        (b"BZh9 is no archive", "is cut short or damaged"),
    ],
)
def test_files_that_are_none_are_refused_in_one_line(content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / "Posts.xml").write_bytes(content)
    with pytest.raises(UserError, match=f"Posts.xml:? {message}") as refusal:
        read_posts([tmp_path / "Posts.xml"], ALL, None, seed=0)
    assert "\n" not in str(refusal.value)


def test_files_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent\.xml does not exist; give a StackExchange dump's Posts.xml"):
        read_posts([tmp_path / "absent.xml"], ALL, None, seed=0)
    with pytest.raises(UserError, match="is a folder"):
        read_posts([tmp_path], ALL, None, seed=0)


def test_posts_are_not_held(tmp_path: Path) -> None:
    """Eight megabytes of text that stand in no pair are read in less than one."""
    rows = [question(number, body="x" * 4000) for number in range(10, 2010)]
    path = dump(tmp_path / "Posts.xml", question(1), answer(2, 1, 0), answer(3, 1, 9), *rows)
    assert path.stat().st_size > 8_000_000
    tracemalloc.start()
    found = read_posts([path], ALL, None, seed=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(found.preferences) == 1 and peak < 1_000_000


@pytest.mark.realdata
def test_real_dumps(real_data: Path) -> None:
    """Six sites: 8,260 pairs have different votes (as their README counts), of which 6,935 have different scores."""
    found = read_posts(sorted((real_data / "stackexchange").glob("*.gz")), ALL, None, seed=0)
    emptied = sum(count for reason, count in found.dropped.items() if reason.startswith("pair with e"))
    emptied -= found.dropped["pair with equal scores"]
    assert (len(found.preferences), emptied) == (6935, 0)
    assert found.dropped["pair with equal scores"] == 9268 - 6935
    # On the site for programmers, markup is what some answers are about.
    others = [item for item in found.preferences if not item.source.startswith("stackoverflow")]
    assert not any("<p>" in item.chosen or "</li>" in item.rejected for item in others)


def test_dialogues_are_questions_with_their_best_answers(tmp_path: Path) -> None:
    """1: the accepted one (2 votes: score 3) before 3 votes (2). 10: equal scores, more votes. 20: equal, the first.

    30: nobody voted for its answer. 40: none. 50: the best answer is empty.
    """
    path = dump(
        tmp_path / "Posts.xml.gz",
        question(1, accepted=2),
        answer(2, 1, 2),
        answer(3, 1, 3),
        question(10, title="Why?", body="<p>So.</p>"),
        answer(11, 10, 2),
        answer(12, 10, 3),
        question(20),
        answer(22, 20, 1),
        answer(21, 20, 1),
        question(30),
        answer(31, 30, 0),
        answer(32, 30, -2),
        question(40),
        question(50),
        answer(51, 50, 9, body="<p> </p>"),
    )
    found = read_dialogues([path])
    assert [talk.turns[1].text for talk in found.conversations] == ["answer 2", "answer 12", "answer 21"]
    assert found.conversations[1] == Conversation().human("Why?\n\nSo.").assistant("answer 12")
    assert found.dropped == {"question without an answer that was voted for": 2, "dialogue with an empty turn": 1}
    assert found.posts == 15
    other = dump(tmp_path / "Posts.xml", question(1), answer(2, 1, 0))
    with pytest.raises(UserError, match=r"Posts.xml: no question with an answer that was voted for among 2 posts"):
        read_dialogues([other])


@pytest.mark.realdata
def test_dialogues_of_a_real_dump(real_data: Path) -> None:
    found = read_dialogues([real_data / "stackexchange/coffee.Posts.xml.gz"])
    assert len(found.conversations) > 50
    assert all([str(turn.speaker) for turn in talk.turns] == ["human", "assistant"] for talk in found.conversations)
