"""Rows a second and memory of exports, as the browser gets them: HH lines and Parquet, over many comparisons.

    python benchmarks/exports.py [--comparisons 1000000] [--url URL] [--out benchmarks/exports.json]

The store is made up (``full_store.py``), on SQLite, or kept at ``--url`` and filled where it is empty. Memory is what
the process held at most while it sent the file, above what it held before.
"""

import argparse
import json
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

from full_store import fill, peak_mib
from sqlalchemy import func, select

from concordant.store.database import Database
from concordant.store.exports import Format, outgoing
from concordant.store.preferences import Filter
from concordant.store.tables import ChoiceRow


def now_mib() -> float:
    """The memory that this process holds."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure(db: Database, format: Format, seconds: float) -> dict[str, Any]:
    """Send a file into nothing, for so long at most."""
    going = outgoing(db, format, Filter(keep_weakest=True))
    before, most, size, began = now_mib(), 0.0, 0, time.perf_counter()
    halfway: float | None = None
    whole = True
    for piece in going.pieces:
        size += len(piece)
        most = max(most, now_mib())
        passed = time.perf_counter() - began
        if halfway is None and passed > seconds / 4:
            halfway = most
        if passed > seconds:
            whole = False
            break
    took = time.perf_counter() - began
    read = going.tally.taken + going.tally.dropped.total()
    return {
        "whole": whole,
        "rows_read": read,
        "rows_taken": going.tally.taken,
        "seconds": round(took, 1),
        "rows_per_s": round(read / took),
        "mib_sent": round(size / 2**20, 1),
        "memory_mib": round(most - before, 1),
        "memory_mib_first_quarter": None if halfway is None else round(halfway - before, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comparisons", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=100.0, help="at most, for each format")
    parser.add_argument("--url", help="of a store to measure; it is filled where it is empty")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="concordant-bench-") as folder:
        db = Database.open(args.url or f"sqlite:///{folder}/store.sqlite")
        with db.read() as session:
            there = session.scalar(select(func.count()).select_from(ChoiceRow)) or 0
        if not there:
            fill(db, args.comparisons)
        found: dict[str, Any] = {"comparisons": there or args.comparisons, "peak_mib_before": round(peak_mib(), 1)}
        formats: tuple[Format, ...] = ("hh", "parquet")
        for format in formats:
            found[format] = measure(db, format, args.seconds)
            print(format, json.dumps(found[format]), flush=True)
        db.close()
    args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
