"""Preferences out of the store into files that others use, each with a data card beside it.

Parquet keeps everything. The HH format has no place for "about equal", so those are left out there, and counted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar

from concordant.comparison import Preference
from concordant.errors import UserError
from concordant.runs import write_whole
from concordant.store.data_card import data_card
from concordant.store.database import Database
from concordant.store.hh_files import hh_pieces, why_not_hh
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, matching_records
from concordant.store.records import Record
from concordant.store.tally import Tally
from concordant.store.whole_file import whole_file

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
    going = outgoing(db, format, filter, packed=out.suffix == ".gz")
    with whole_file(out) as temporary, temporary.open("wb") as file:
        file.writelines(going.pieces)
    card = out.with_name(f"{out.name}.md")
    write_whole(card, data_card(out.name, going.tally, *_about(format)))
    return Export(out, card, going.tally)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """An export on its way out. ``tally`` is complete once all ``pieces`` of the file were taken."""

    pieces: Iterator[bytes]
    tally: Tally


def outgoing(db: Database, format: Format, filter: Filter, packed: bool = True) -> Outgoing:
    """The file piece by piece, all from one moment of the store; little memory, however many rows.

    Both a gzip and a Parquet file end on what shows that they are whole, so one that was cut off is not taken for less
    data than there was.

    Args:
        db: the store.
        format: of the file.
        filter: which preferences.
        packed: HH: as gzip.

    Raises:
        UserError: nothing is left to write.
    """
    tally = Tally()
    records = _records(db, filter, tally)
    if format == "hh":
        rows = _begun(_usable(records, tally), _NOTHING_LEFT, tally)
        return Outgoing(hh_pieces(rows, packed), tally)
    # pyarrow takes a third of a second to import, which a page that only offers the HH format need not wait for.
    from concordant.store.parquet import parquet_pieces

    return Outgoing(parquet_pieces(records, tally), tally)


def card_of(db: Database, name: str, format: Format, filter: Filter) -> str:
    """The data card that an export of this name would have now; counts every row.

    Raises:
        UserError: nothing would be left to write.
    """
    tally = Tally()
    records = _records(db, filter, tally)
    if format == "hh":
        for _ in _begun(_usable(records, tally), _NOTHING_LEFT, tally):
            pass
    else:
        for record in records:
            if record.erased:
                tally.drop("erased")
            else:
                tally.take(record.preference, record.worker_kind)
    return data_card(name, tally, *_about(format))


_NOTHING = "no preference in the store matches; 'concordant data import' or 'simulate' brings some"
_NOTHING_LEFT = "nothing is left to write: {}; export it as parquet instead"


def _records(db: Database, filter: Filter, tally: Tally) -> Iterator[Record]:
    """What matches; there is some. Counts what is left out for who made it."""
    return _begun(matching_records(db, filter, tally.dropped), _NOTHING)


_Item = TypeVar("_Item")


def _begun(items: Iterator[_Item], trouble: str, tally: Tally | None = None) -> Iterator[_Item]:
    """The same items, the first of which there is."""
    for first in items:
        return chain([first], items)
    dropped = {} if tally is None else tally.dropped
    raise UserError(trouble.format(", ".join(f"{number} {reason}" for reason, number in sorted(dropped.items()))))


def _usable(records: Iterable[Record], tally: Tally) -> Iterator[tuple[Preference, WorkerKind | None]]:
    """Those that an HH file has a place for; counts all."""
    for record in records:
        reason = "erased" if record.erased else why_not_hh(record.preference)
        if reason is not None:
            tally.drop(reason)
            continue
        tally.take(record.preference, record.worker_kind)
        yield record.preference, record.worker_kind


def _suffix(format: Format) -> str:
    return "jsonl.gz" if format == "hh" else "parquet"


def _about(format: Format) -> tuple[str, dict[str, str]]:
    if format == "hh":
        return "One JSON object a line, in the format of the released HH data with a few fields more.", _HH_COLUMNS
    from concordant.store.parquet import COLUMNS

    return "Parquet, with every recorded column.", {name: meaning for name, (_, meaning) in COLUMNS.items()}
