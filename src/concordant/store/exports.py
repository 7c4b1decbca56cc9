"""Preferences out of the store into files that others use, each with a data card beside it.

Parquet keeps everything. The HH format has no place for "about equal", so those are left out there, and counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.runs import write_whole
from concordant.store.data_card import data_card
from concordant.store.database import Database
from concordant.store.hh_files import why_not_hh, write_hh_rows
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, matching_records
from concordant.store.tally import Tally

Format = Literal["hh", "parquet"]

_HH_COLUMNS = {
    "chosen": "transcript that ends on the better reply",
    "rejected": "the same transcript, ending on the worse reply",
    "objective": "what better means: helpful or harmless",
    "tranche": "which kind of model wrote the replies: base, rs (best of k), online (a trained policy)",
    "strength": "2 to 4; null: not recorded",
    "source": "'store' for choices collected here, 'store edits' for rewritten replies, else the imported file's name",
    "models": "labels of who wrote the chosen and the rejected reply; null: not known",
    "worker": "id of who chose; null: not known",
    "worker_kind": "person, scripted (a program), simulated (a model); null: not known",
}


@dataclass(frozen=True, slots=True)
class Export:
    """What was written where."""

    path: Path
    card: Path
    tally: Tally


def export(db: Database, out: Path, format: Format, filter: Filter) -> Export:
    """Write the preferences that match, and the data card ``OUT.md``; each whole or not at all.

    Raises:
        UserError: ``out`` is a folder, or nothing is left to write.
    """
    if out.is_dir():
        raise UserError(f"{out} is a folder; name a file, for example {out / f'preferences.{_suffix(format)}'}")
    if next(matching_records(db, filter), None) is None:
        raise UserError("no preference in the store matches; 'concordant data import' or 'simulate' brings some")
    tally = _export_hh(db, out, filter) if format == "hh" else _export_parquet(db, out, filter)
    card = out.with_name(f"{out.name}.md")
    write_whole(card, data_card(out.name, tally, *_about(format)))
    return Export(out, card, tally)


def _export_hh(db: Database, out: Path, filter: Filter) -> Tally:
    tally = Tally()

    def usable() -> Iterator[tuple[Preference, WorkerKind | None]]:
        for record in matching_records(db, filter):
            reason = "erased" if record.erased else why_not_hh(record.preference)
            if reason is not None:
                tally.drop(reason)
                continue
            tally.take(record.preference, record.worker_kind)
            yield record.preference, record.worker_kind
        if not tally.taken:
            reasons = ", ".join(f"{number} {reason}" for reason, number in sorted(tally.dropped.items()))
            raise UserError(f"nothing is left to write: {reasons}; export it as parquet instead")

    write_hh_rows(out, usable())
    return tally


def _export_parquet(db: Database, out: Path, filter: Filter) -> Tally:
    # pyarrow takes a third of a second to import, which a page that only offers the HH format need not wait for.
    from concordant.store.parquet import write_parquet

    return write_parquet(out, matching_records(db, filter))


def _suffix(format: Format) -> str:
    return "jsonl.gz" if format == "hh" else "parquet"


def _about(format: Format) -> tuple[str, dict[str, str]]:
    if format == "hh":
        return "One JSON object a line, in the format of the released HH data with a few fields more.", _HH_COLUMNS
    from concordant.store.parquet import COLUMNS

    return "Parquet, with every recorded column.", {name: meaning for name, (_, meaning) in COLUMNS.items()}
