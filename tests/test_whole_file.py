"""A file is there whole or not at all."""

import gzip
import stat
from pathlib import Path

import pytest

from concordant.store.whole_file import gzip_text, plain_text, text_pieces, whole_file


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file.txt"
    with whole_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists() and temporary.parent == path.parent
    assert path.read_text() == "whole"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file.txt"]


def test_equal_lines_give_equal_bytes(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        with gzip_text(tmp_path / name) as file:
            file.write("ü\u2028\r\n" * 3)
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()
    assert gzip.decompress((tmp_path / "one.gz").read_bytes()).decode() == "ü\u2028\r\n" * 3


def test_plain_lines_are_utf8(tmp_path: Path) -> None:
    with plain_text(tmp_path / "file") as file:
        file.write("ü\n")
    assert (tmp_path / "file").read_bytes() == b"\xc3\xbc\n"


def test_pieces_are_the_lines_packed_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.whole_file._PIECE_BYTES", 4)
    lines = ["one\n", "zwei ä\n", "3\n"]
    assert list(text_pieces(lines, packed=False)) == [b"one\n", "zwei ä\n".encode(), b"3\n"]
    packed = b"".join(text_pieces(lines, packed=True))
    assert gzip.decompress(packed).decode() == "".join(lines)
    assert packed == b"".join(text_pieces(iter(lines), packed=True)), "no time and no name stand in it"
    assert b"".join(text_pieces([], packed=False)) == b""
