"""Large files written whole or not at all: row by row into a temporary file, put on disk, then renamed; and the same
bytes in pieces, for those who send them elsewhere."""

import gzip
import io
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """The path of a temporary file beside ``path``; it takes ``path``'s place at the end of the block.

    If the block raises, nothing is left and ``path`` is as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def gzip_text(path: Path) -> Iterator[TextIO]:
    """A gzip file for UTF-8 lines; the same lines give the same bytes, since no name and time are written into it."""
    with (
        path.open("wb") as raw,
        gzip.GzipFile(filename="", fileobj=raw, mode="wb", mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
    ):
        yield text


@contextmanager
def plain_text(path: Path) -> Iterator[TextIO]:
    """A plain file for UTF-8 lines."""
    with path.open("w", encoding="utf-8", newline="\n") as text:
        yield text


_PIECE_BYTES = 1 << 18
_GZIP_WINDOW = 31  # zlib's number for the largest window inside a gzip head and tail


def text_pieces(lines: Iterable[str], packed: bool) -> Iterator[bytes]:
    """The bytes of a text file, plain or as gzip, in pieces of some 256 KiB.

    A gzip file ends on its length and checksum, so one that was cut off is seen by whoever unpacks it.
    """
    packer = zlib.compressobj(wbits=_GZIP_WINDOW) if packed else None
    waiting: list[bytes] = []
    size = 0
    for line in lines:
        piece = line.encode()
        piece = piece if packer is None else packer.compress(piece)
        waiting.append(piece)
        size += len(piece)
        if size >= _PIECE_BYTES:
            yield b"".join(waiting)
            waiting, size = [], 0
    yield b"".join(waiting) + (b"" if packer is None else packer.flush())
