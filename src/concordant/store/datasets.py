"""Frozen data sets: preferences copied into one immutable file, known by the hash of their content.

The file is gzip of JSON lines: a head (name, digest, filter, counts), then one row a preference with every field of the
noun, its id and the worker's kind. Training reads the file alone, without the store.
"""

import gzip
import hashlib
import json
import re
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.preferences import Filter, matching_records
from concordant.store.records import Record, turns_from_json, turns_json
from concordant.store.tables import DatasetRow
from concordant.store.tally import Tally
from concordant.store.whole_file import gzip_text, whole_file

Json = dict[str, Any]
_FORMAT = "concordant data set 1"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class NameTaken(UserError):
    """A data set of that name exists, with other content."""


@dataclass(frozen=True, slots=True)
class FrozenDataset:
    """A data set that does not change any more.

    Attributes:
        name: unique in the store.
        digest: sha256 over its rows, 64 hex digits: its id in lineage records.
        path: the file.
        counts: taken, dropped (by reason), by worker kind, by group; see ``Tally.to_json``.
        filter: what was asked for; see ``Filter.to_json``.
        created: when it was frozen, UTC; None: just now.
    """

    name: str
    digest: str
    path: Path
    counts: Json
    filter: Json = field(default_factory=dict, compare=False)
    created: datetime | None = field(default=None, compare=False)


def freeze(db: Database, name: str, filter: Filter, folder: Path) -> FrozenDataset:
    """Copy the preferences that match now into ``folder/NAME.jsonl.gz``. Frozen again with equal content, it is itself.

    What cannot teach (equal or empty replies, and the weakest strength unless the filter keeps it) is left out and
    counted, and so is what excluded workers made.

    Raises:
        UserError: nothing matches, or the name cannot be a file's.
        NameTaken: the name is taken by other content.
    """
    if not _NAME.fullmatch(name):
        raise UserError(f"data set name {name!r}: use letters, digits, '.', '_' and '-'")
    path = folder / f"{name}.jsonl.gz"
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as scratch:
        rows = Path(scratch) / "rows"
        digest, tally = _write_rows(db, filter, rows)
        if not tally.taken:
            raise UserError(f"data set {name!r} would be empty: no usable preference matches; collect or import some")
        known = _known(db, name)
        if known is not None and known.digest != digest:
            raise NameTaken(f"data set {name!r} exists with other content ({known.digest[:12]}…); choose another name")
        if known is None or not path.exists():
            _join({"name": name, "digest": digest, "filter": filter.to_json()} | tally.to_json(), rows, path)
    if known is None:
        row = DatasetRow(name=name, digest=digest, path=str(path), filter=filter.to_json(), counts=tally.to_json())
        with db.write() as session:
            session.add(row)
    return FrozenDataset(name, digest, path, tally.to_json())


def freeze_again(db: Database, known: str, name: str, folder: Path) -> FrozenDataset:
    """Freeze, under another name, what matches the filter of a known data set now.

    Raises:
        UserError: there is no such data set, or as ``freeze``.
    """
    row = _known(db, known)
    if row is None:
        raise UserError(f"there is no data set {known!r}")
    return freeze(db, name, Filter.from_json(row.filter), folder)


def load_dataset(path: Path) -> list[Preference]:
    """The preferences of a frozen data set; needs no store.

    Raises:
        UserError: the file is absent, no frozen data set, or not what was frozen.
    """
    return [preference_of_row(row) for row in dataset_rows(path)]


def dataset_rows(path: Path) -> Iterator[Json]:
    """The rows of a frozen data set one by one, as they stand in the file; needs no store.

    Raises:
        UserError: as ``load_dataset``; that the content is not what was frozen shows only after the last row.
    """
    digest = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as file:
            head = json.loads(file.readline())
            if not isinstance(head, dict) or head.get("format") != _FORMAT:
                raise UserError(f"{path} is not a frozen data set; make one with 'concordant data freeze'")
            for line in file:
                digest.update(line)
                yield json.loads(line)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; make a data set with 'concordant data freeze'") from None
    except (EOFError, zlib.error, gzip.BadGzipFile, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no frozen data set, or damaged ({error}); freeze it again") from None
    if digest.hexdigest() != head["digest"]:
        raise UserError(f"{path} is not what was frozen: its rows do not match digest {head['digest'][:12]}…")


def datasets(db: Database) -> list[FrozenDataset]:
    """All frozen data sets, oldest first."""
    with db.read() as session:
        rows = session.scalars(select(DatasetRow).order_by(DatasetRow.created, DatasetRow.name))
        return [
            FrozenDataset(row.name, row.digest, Path(row.path), row.counts, row.filter, row.created) for row in rows
        ]


def _known(db: Database, name: str) -> DatasetRow | None:
    with db.read() as session:
        return session.get(DatasetRow, name)


def _write_rows(db: Database, filter: Filter, path: Path) -> tuple[str, Tally]:
    digest, tally = hashlib.sha256(), Tally()
    with gzip_text(path) as file:
        for record in matching_records(db, filter, tally.dropped):
            weak = "weakest strength" if record.preference.is_weakest and not filter.keep_weakest else None
            reason = "erased" if record.erased else weak or record.preference.flaw()
            if reason is not None:
                tally.drop(reason)
                continue
            tally.take(record.preference, record.worker_kind)
            line = _canonical(_row(record))
            digest.update(line.encode())
            file.write(line)
    return digest.hexdigest(), tally


def _join(head: Json, rows: Path, path: Path) -> None:
    """Head and rows as one file: gzip members that follow each other are read as one stream."""
    with whole_file(path) as temporary:
        with gzip_text(temporary) as file:
            file.write(_canonical({"format": _FORMAT} | head))
        with temporary.open("ab") as file_out, rows.open("rb") as file_in:
            shutil.copyfileobj(file_in, file_out)


def _canonical(row: Json) -> str:
    """One line that is the same for equal rows."""
    return json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


def _row(record: Record) -> Json:
    preference = record.preference
    return {
        "id": record.id,
        "prompt": turns_json(preference.prompt),
        "reply_a": preference.comparison.reply_a,
        "reply_b": preference.comparison.reply_b,
        "preferred": preference.preferred,
        "objective": preference.objective,
        "tranche": preference.tranche,
        "strength": preference.strength,
        "worker": preference.worker,
        "worker_kind": record.worker_kind,
        "source": preference.source,
        "models": preference.models,
    }


def preference_of_row(row: Json) -> Preference:
    """The noun behind a row of the file."""
    return Preference(
        comparison=Comparison(turns_from_json(row["prompt"]), row["reply_a"], row["reply_b"]),
        preferred=row["preferred"],
        objective=Objective(row["objective"]),
        tranche=Tranche(row["tranche"]),
        strength=row["strength"],
        worker=row["worker"],
        worker_kind=row["worker_kind"],
        source=row["source"],
        models=None if row["models"] is None else (row["models"][0], row["models"][1]),
    )
