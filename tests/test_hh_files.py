"""HH files: what is taken, what is dropped and why, what is refused; and back again."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.hh_files import HHFile, hh_pieces, read_hh, why_not_hh
from concordant.store.people import WorkerKind
from hh_rows import write_hh

PROMPT = "\n\nHuman: hi"


def pair(chosen: str, rejected: str, **more: object) -> str:
    return json.dumps({"chosen": chosen, "rejected": rejected} | more)


GOOD = pair(f"{PROMPT}\n\nAssistant: yes", f"{PROMPT}\n\nAssistant: no")


def read(tmp_path: Path, *lines: str | bytes) -> HHFile:
    path = tmp_path / "file.jsonl"
    path.write_bytes(b"\n".join(line.encode() if isinstance(line, str) else line for line in lines))
    return read_hh(path, Objective.HELPFUL, Tranche.RS)


def preference(chosen: str, rejected: str, prompt: str = "hi", strength: int | None = None) -> Preference:
    comparison = Comparison(Conversation().human(prompt), chosen, rejected)
    return Preference(comparison, "a", Objective.HELPFUL, strength=strength)


def test_a_row_becomes_a_preference(tmp_path: Path) -> None:
    found = read(tmp_path, GOOD, "", "  ")
    (one,) = found.preferences
    assert one.prompt == Conversation().human("hi")
    assert (one.chosen, one.rejected, one.preferred) == ("yes", "no", "a")
    assert (one.objective, one.tranche, one.source) == (Objective.HELPFUL, Tranche.RS, "file.jsonl")
    assert (found.rows, found.dropped, found.worker_kinds) == (1, Counter(), [None])


def test_the_split_is_at_the_last_assistant_turn(tmp_path: Path) -> None:
    shared = f"{PROMPT}\n\nAssistant: hello\n\nHuman: and?"
    (one,) = read(tmp_path, pair(f"{shared}\n\nAssistant: yes", f"{shared}\n\nAssistant: no")).preferences
    assert one.prompt == Conversation().human("hi").assistant("hello").human("and?")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", "not a JSON object"),
        ('{"rejected": "x"}', "missing 'chosen'"),
        (json.dumps({"chosen": f"{PROMPT}\n\nAssistant: yes"}), "missing 'rejected'"),
        (pair(f"{PROMPT}\n\nAssistant: yes", "\n\nHuman: hey\n\nAssistant: no"), "no shared prompt"),
        (pair(f"{PROMPT}\n\nAssistant: yes", f"{PROMPT}\n\nAssistant: yes"), "equal replies"),
        (pair(f"{PROMPT}\n\nAssistant: yes", f"{PROMPT}\n\nAssistant:"), "empty reply"),
        (pair(f"{PROMPT}\n\nAssistant:  \n", f"{PROMPT}\n\nAssistant: no"), "empty reply"),
        (
            pair(f"{PROMPT}\n\nAssistant: yes", f"{PROMPT}\n\nAssistant: no{PROMPT}"),
            "'rejected' does not end on a reply",
        ),
        (pair("Once upon a time", f"{PROMPT}\n\nAssistant: no"), "'chosen' is not a transcript"),
        ('{"chosen": 1, "rejected": "x"}', "'chosen' is not text"),
        (pair(f"{PROMPT}\n\nAssistant: \ud800", f"{PROMPT}\n\nAssistant: no"), "'chosen' is not Unicode text"),
        (GOOD.replace("}", ', "worker_kind": "robot"}'), "unknown worker_kind"),
    ],
)
def test_what_cannot_be_used_is_dropped_and_counted(tmp_path: Path, row: str, reason: str) -> None:
    found = read(tmp_path, row, GOOD, row)
    assert found.dropped == {reason: 2}
    assert (found.rows, len(found.preferences)) == (3, 1)


def test_compressed_and_plain_are_the_same_whatever_their_names(tmp_path: Path) -> None:
    content = f"{GOOD}\n".encode()
    plain, packed, misnamed = (tmp_path / name for name in ("a.jsonl", "b.jsonl.gz", "c.jsonl"))
    plain.write_bytes(content)
    packed.write_bytes(gzip.compress(content))
    misnamed.write_bytes(gzip.compress(content, mtime=1))
    files = [read_hh(path, Objective.HELPFUL, Tranche.BASE) for path in (plain, packed, misnamed)]
    assert len({file.digest for file in files}) == 1
    assert [len(file.preferences) for file in files] == [1, 1, 1]


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    assert read(tmp_path, b"\xef\xbb\xbf" + GOOD.encode()).dropped == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no usable comparison (it is empty)"),
        (b"\n\n", "no usable comparison (it is empty)"),
        (b"Dear diary\ntoday", "no usable comparison (line 1: not JSON)"),
        (b'{"prompt": "x"}', "no usable comparison (line 1: missing 'chosen')"),
        (f"{GOOD}\n".encode() + b"caf\xe9", "line 2: not text (byte 0xe9)"),
        (b"\x89PNG\r\n\x1a\n", "line 1: not text (byte 0x89)"),
        (gzip.compress(f"{GOOD}\n".encode() * 500, mtime=0)[:-30], "cut short or damaged after line"),
        (b"\x1f\x8b garbage", "cut short or damaged after line 0"),
    ],
)
def test_a_file_that_is_none_is_refused_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_hh(path, Objective.HELPFUL, Tranche.BASE)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path, message in ((tmp_path / "none", "does not exist"), (tmp_path, "is a folder")):
        with pytest.raises(UserError, match=message):
            read_hh(path, Objective.HELPFUL, Tranche.BASE)


words = st.text(st.characters(codec="utf-8"), min_size=1).map(str.strip).filter(bool)


@given(st.lists(st.tuples(words, words, words), min_size=1, max_size=5))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]]) -> None:
    wanted = [one for one in (preference(b, c, a) for a, b, c in rows) if why_not_hh(one) is None]
    path = tmp_path_factory.mktemp("hh") / "file.jsonl.gz"
    assert write_hh(path, wanted) == len(wanted)
    if wanted:
        found = read_hh(path, Objective.HELPFUL, Tranche.BASE).preferences
        assert [(one.prompt, one.chosen, one.rejected) for one in found] == [
            (one.prompt, one.chosen, one.rejected) for one in wanted
        ]


def test_the_better_reply_stands_first_whatever_its_side(tmp_path: Path) -> None:
    one = Preference(
        Comparison(Conversation().human("hi"), "worse", "better"), "b", Objective.HELPFUL, models=("x", "y")
    )
    (tmp_path / "file.jsonl").write_bytes(b"".join(hh_pieces([(one, WorkerKind.SCRIPTED)], packed=False)))
    row = json.loads((tmp_path / "file.jsonl").read_text())
    assert row["chosen"].endswith("better") and row["rejected"].endswith("worse")
    assert row["models"] == ["y", "x"] and row["worker_kind"] == "scripted"
    assert read_hh(tmp_path / "file.jsonl", Objective.HELPFUL, Tranche.BASE).worker_kinds == [WorkerKind.SCRIPTED]


def test_what_hh_has_no_place_for() -> None:
    assert why_not_hh(preference("a", "b")) is None
    assert why_not_hh(preference("a", "b", strength=2)) is None
    assert why_not_hh(preference("a", "b", strength=1)) == "weakest strength"
    assert why_not_hh(preference("a", "a")) == "equal replies"
    assert why_not_hh(preference("a\n\nHuman: b", "c")) == "a turn contains an HH separator"
    with pytest.raises(UserError, match="contains an HH separator"):
        write_hh(Path("never-written.jsonl"), [preference("a\n\nHuman: b", "c")])
    assert not Path("never-written.jsonl").exists()
