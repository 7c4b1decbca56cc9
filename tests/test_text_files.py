"""Plain text out of files: documents, what begins one, and every line accounted for."""

import gzip
import json
from collections import Counter
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.store.text_files import read_texts

WIKI = (
    " \n = Robert <unk> = \n \n Robert is an actor . \n = = Career = = \n \n In 2000 ... \n"
    " = 1 = \n \n One is a number . \n"
)


def texts(*paths: Path) -> list[str]:
    return [talk.first_human_turn for talk in read_texts(paths).conversations]


def test_a_text_file_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("One.\n\nStill one = two.\n")
    assert texts(tmp_path / "a.txt") == ["One.\n\nStill one = two."]


def test_headings_of_wikitext_begin_documents_and_those_of_sections_do_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt.gz").write_bytes(gzip.compress(WIKI.encode()))
    found = texts(tmp_path / "a.txt.gz")
    assert [text.splitlines()[0].strip() for text in found] == ["= Robert <unk> =", "= 1 ="]
    assert "= = Career = =" in found[0]


@pytest.mark.parametrize("packed", [False, True])
def test_json_lines(packed: bool, tmp_path: Path) -> None:
    lines = [json.dumps({"text": "ä one", "url": "x"}), "", "{cut", "[1]", '{"text": 3}', '{"text": " "}']
    lines += [json.dumps({"text": "Ä  ONE!"}), json.dumps({"text": "two\nlines\u2028three"}, ensure_ascii=False)]
    data = "\n".join(lines).encode()
    path = tmp_path / ("a.jsonl.gz" if packed else "a.jsonl")
    path.write_bytes(gzip.compress(data) if packed else data)
    found = read_texts([path])
    assert [talk.first_human_turn for talk in found.conversations] == ["ä one", "two\nlines\u2028three"]
    assert all(talk.awaits_reply for talk in found.conversations)
    reasons = {"line that is not JSON": 1, "line without a text": 2, "empty text": 1, "text that was there before": 1}
    assert found.dropped == Counter(reasons)


def test_files_that_are_none(tmp_path: Path) -> None:
    for name, content, said in (
        ("a.csv", b"x", "a.csv is of an unknown kind"),
        ("a.jsonl.gz", b"{}", "a.jsonl.gz is cut short or no gzip file"),
        ("b.txt.gz", gzip.compress(b"text" * 99)[:-9], "b.txt.gz is cut short or no gzip file"),
        ("a.txt", b"caf\xe9", "a.txt is not UTF-8"),
        ("empty.txt", b" \n", "empty.txt: no text in any of them"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=said):
            read_texts([tmp_path / name])
    for path in (tmp_path / "absent.txt", tmp_path / "folder.txt"):
        (tmp_path / "folder.txt").mkdir(exist_ok=True)
        with pytest.raises(UserError, match=f"{path.name} is no file"):
            read_texts([path])


@pytest.mark.realdata
def test_real_files(real_data: Path) -> None:
    """60 articles each in WikiText-2's validation and test parts, 300 documents of C4."""
    folder = real_data / "text"
    assert len(texts(folder / "wikitext-2.valid.txt.gz")) == 60
    assert len(texts(folder / "c4_300docs.jsonl.gz")) == 300
