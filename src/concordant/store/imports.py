"""HH files into the store: each file whole or not at all, and once, however often it is given."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from sqlalchemy import insert, select

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.hh_files import HHFile, read_hh
from concordant.store.records import turns_json
from concordant.store.tables import ImportedRow, ImportRow, Json, new_id

_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class FileReport:
    """What became of one file. ``already``: its content had been imported before, and nothing was added."""

    name: str
    rows: int
    taken: int
    dropped: dict[str, int]
    already: bool


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the files, in the order given."""

    files: tuple[FileReport, ...]

    @property
    def added(self) -> int:
        """Preferences that the store did not have."""
        return sum(file.taken for file in self.files if not file.already)

    @property
    def dropped(self) -> Counter[str]:
        """Reason → rows, over the files that were not there already."""
        return sum((Counter(file.dropped) for file in self.files if not file.already), Counter())


def import_files(db: Database, files: Iterable[Path], objective: Objective, tranche: Tranche) -> ImportReport:
    """Import HH files. All are read before any is written, so a bad one stops the import at its beginning.

    Raises:
        UserError: a file cannot be used, or was imported with another objective or tranche.
    """
    contents = [(path, read_hh(path, objective, tranche)) for path in files]
    return ImportReport(tuple(_import(db, path, content, objective, tranche) for path, content in contents))


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """A file that the store holds. ``rows`` were read, ``taken`` of them kept."""

    id: str
    name: str
    digest: str
    objective: str
    tranche: str
    rows: int
    taken: int
    dropped: Json
    created: datetime


def imported_files(db: Database) -> list[ImportedFile]:
    """All of them, newest first."""
    with db.read() as session:
        rows = session.scalars(select(ImportRow).order_by(ImportRow.created.desc(), ImportRow.id))
        return [
            ImportedFile(
                row.id,
                row.name,
                row.digest,
                row.objective,
                row.tranche,
                row.rows,
                row.rows - sum(row.dropped.values()),
                row.dropped,
                row.created,
            )
            for row in rows
        ]


def _import(db: Database, path: Path, content: HHFile, objective: Objective, tranche: Tranche) -> FileReport:
    report = FileReport(path.name, content.rows, len(content.preferences), dict(content.dropped), already=False)
    with db.write_alone() as session:
        known = session.scalar(select(ImportRow).where(ImportRow.digest == content.digest))
        if known is not None:
            if (known.objective, known.tranche) != (objective.value, tranche.value):
                raise UserError(
                    f"{path} was imported as {known.objective}, {known.tranche} before (as {known.name}); "
                    f"it cannot be {objective}, {tranche} too"
                )
            return replace(report, already=True)
        import_id = new_id()
        session.add(
            ImportRow(
                id=import_id,
                name=path.name,
                digest=content.digest,
                objective=objective.value,
                tranche=tranche.value,
                rows=content.rows,
                dropped=report.dropped,
            )
        )
        session.flush()
        rows = _rows(content, import_id)
        for start in range(0, len(rows), _CHUNK):
            session.execute(insert(ImportedRow), rows[start : start + _CHUNK])
    return report


def _rows(content: HHFile, import_id: str) -> list[Json]:
    return [
        {
            "import_id": import_id,
            "row": number,
            "prompt": turns_json(preference.prompt),
            "reply_a": preference.comparison.reply_a,
            "reply_b": preference.comparison.reply_b,
            "preferred": preference.preferred,
            "worker_kind": None if kind is None else kind.value,
        }
        for number, (preference, kind) in enumerate(zip(content.preferences, content.worker_kinds, strict=True))
    ]
