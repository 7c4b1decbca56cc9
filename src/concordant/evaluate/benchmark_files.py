"""Rows of benchmark files: JSON lines, one JSON list, CSV or TSV, any of them gzipped; and where they lie.

Whatever is wrong with a file is said in one line that names it and what it should hold.
"""

import csv
import gzip
import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from concordant.errors import UserError

_GZIP_MAGIC = b"\x1f\x8b"
_ENDINGS = (".jsonl", ".jsonl.gz", ".json", ".json.gz", ".csv", ".csv.gz", ".tsv", ".tsv.gz")


class Unusable(Exception):
    """Why a row cannot be used."""


def find_file(folders: Sequence[Path], stems: Iterable[str]) -> Path | None:
    """The first file whose name is one of the stems with a known ending, or goes on behind it ("hellaswag_val_1000").

    Args:
        folders: looked through in order, each with the folders directly in it.
        stems: the best first; upper and lower case are the same.
    """
    everywhere = [place for folder in folders for place in (folder, *sorted(p for p in folder.iterdir() if p.is_dir()))]
    for stem in stems:
        for place in everywhere:
            for path in sorted(place.iterdir()):
                ending = next((end for end in _ENDINGS if path.name.lower().endswith(end)), None)
                name = path.name.lower().removesuffix(ending or "")
                if ending and path.is_file() and (name == stem.lower() or name.startswith(stem.lower() + "_")):
                    return path
    return None


def refuse_folders(folders: Sequence[Path]) -> None:
    """Raise where a folder of benchmark files is none."""
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--data {folder} is no folder; give the folder that holds the benchmark files")


def read_rows(path: Path) -> list[dict[str, Any]]:
    """All rows of a file, as they are.

    Raises:
        UserError: it is absent, damaged or empty, or holds something other than rows.
    """
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data).decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a benchmark file that does") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give the file in it") from None
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise UserError(f"{path} cannot be read ({error}); fetch it again") from None
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        rows: list[Any] = list(
            csv.DictReader(io.StringIO(text), dialect="excel-tab" if name[-3:] == "tsv" else "excel")
        )
    else:
        rows = _json_rows(path, text)
    if not rows:
        raise UserError(f"{path} is empty; fetch it again")
    if not all(isinstance(row, dict) for row in rows):
        raise UserError(f"{path} holds something other than JSON objects; it is no benchmark file")
    return rows


def _json_rows(path: Path, text: str) -> list[Any]:
    if text.lstrip().startswith("["):
        try:
            return list(json.loads(text))
        except ValueError as error:
            raise UserError(f"{path} is not JSON ({error}); fetch it again") from None
    rows = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except ValueError:
                raise UserError(f"{path}: line {number} is not JSON; fetch the file again") from None
    return rows


def text_of(row: dict[str, Any], *names: str) -> str:
    """The first of these columns that holds a text.

    Raises:
        Unusable: none does.
    """
    for name in names:
        if isinstance(row.get(name), str) and row[name].strip():
            return str(row[name])
    raise Unusable(f"no text in column {' or '.join(map(repr, names))}")
