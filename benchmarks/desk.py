"""How long the researcher's pages take over many comparisons: counts, ratings, search; on SQLite and PostgreSQL.

    python benchmarks/desk.py [--comparisons 200000] [--store both] [--out benchmarks/desk.json]

The store is made up (``full_store.py``). Each figure is the least of three goes, the first load of the ledger one go.
"""

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from full_store import COMMON, RARE, TURNS, fill, stores
from sqlalchemy import insert, select, text

from concordant.collect.rating_routes import board_of
from concordant.comparison import Objective
from concordant.store.conversation_search import Query, State, find, find_all
from concordant.store.database import Database
from concordant.store.ledger import Ledger
from concordant.store.tables import ChoiceRow, ComparisonRow
from concordant.store.throughput import Window, throughput

PAGE = 50


def milliseconds(work: Callable[[], object], goes: int = 3) -> float:
    """The least of a few goes."""
    took = []
    for _ in range(goes):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return round(1000 * min(took), 1)


def ledger_times(db: Database) -> dict[str, Any]:
    """The first load, one vote more, and what the pages make of the books."""
    ledger = Ledger(db)

    def look() -> None:
        with ledger.open():
            pass

    first = milliseconds(look, 1)
    with db.read() as session:
        comparisons = list(session.scalars(select(ComparisonRow.id).limit(3)))
    after_a_vote = []
    for comparison in comparisons:
        with db.write() as session:
            session.execute(
                insert(ChoiceRow).values(
                    comparison_id=comparison, number=2, button=1, key="more", created=datetime.now(UTC)
                )
            )
        after_a_vote.append(milliseconds(look, 1))
    with ledger.open() as books:
        return {
            "first_load_ms": first,
            "places": len(books.counts),
            "after_one_vote_ms": min(after_a_vote),
            "throughput_ms": milliseconds(lambda: throughput(books, Window())),
            "board_ms": milliseconds(lambda: board_of(books, Objective.HELPFUL)),
        }


def search_times(db: Database) -> dict[str, float]:
    """A page of 50, by what was asked for."""
    queries = {
        "newest": Query(),
        "common_word": Query(words=COMMON),
        "word_in_one_conversation": Query(words=RARE),
        "word_in_none": Query(words="zzyzx"),
        "word_in_none_one_month": Query(words="zzyzx", first=date(2026, 3, 1), last=date(2026, 3, 31)),
        "model_and_strength": Query(model="model-3", strength=4),
        "left": Query(state=State.LEFT),
        "best_rated": Query(rating=5),
    }
    return {f"{name}_ms": milliseconds(lambda query=query: find(db, query, PAGE)) for name, query in queries.items()}


def measure(url: str, comparisons: int) -> dict[str, Any]:
    db = Database.open(url)
    began = time.perf_counter()
    fill(db, comparisons)
    made = round(time.perf_counter() - began, 1)
    with db.write() as session:
        session.execute(text("ANALYZE"))
    found: dict[str, Any] = {"fill_s": made, "ledger": ledger_times(db), "search": search_times(db)}
    began = time.perf_counter()
    lines = sum(1 for _ in find_all(db, Query()))
    found["conversations_csv_rows_per_s"] = round(lines / (time.perf_counter() - began))
    with db.write() as session:
        for index in ("ix_choices_created", "ix_replies_comparison_id_place_snapshot_id"):
            session.execute(text(f"DROP INDEX {index}"))
    found["without_indices"] = _without(db)
    db.close()
    return found


def _without(db: Database) -> dict[str, float]:
    ledger = Ledger(db)

    def look() -> None:
        with ledger.open():
            pass

    return {"first_load_ms": milliseconds(look, 1), "again_ms": milliseconds(look)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--comparisons", type=int, default=200_000)
    parser.add_argument("--store", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(".json"))
    args = parser.parse_args()
    found: dict[str, Any] = json.loads(args.out.read_text()) if args.out.exists() else {}
    with stores(args.store != "sqlite") as urls:
        for name, url in urls.items():
            if args.store in ("both", name):
                size = {"comparisons": args.comparisons, "conversations": args.comparisons // TURNS}
                found[name] = size | measure(url, args.comparisons)
                print(name, json.dumps(found[name], indent=1), flush=True)
                args.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
