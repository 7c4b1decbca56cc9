"""Choices under kill -9: fifty scripted workers who click twice, use two tabs and send old forms again.

Web process and generator are killed at random moments meanwhile. Writes kept_choices.json: what the workers were told
against what the store holds, on SQLite and on PostgreSQL. Left out: power cuts, and disks that lie about fsync.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import machine

from clumsy import Clumsy, Killer, Ledger, verdict
from concordant.collect import simulate
from concordant.comparison import Objective
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from postgres_server import fresh_store
from served import Served


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--conversations", type=int, default=100)
    parser.add_argument("--kills", type=int, default=40, help="most kills")
    parser.add_argument("--pause", type=float, nargs=2, default=(1.0, 4.0), help="least and most seconds between kills")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), nargs="*", default=("sqlite", "postgresql"))
    args = parser.parse_args()
    path = Path(__file__).with_suffix(".json")
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in args.store:
        with tempfile.TemporaryDirectory() as folder, store_url(name, Path(folder)) as url:
            known[name] = {**one_run(args, Path(folder), url), "machine": machine()}
        print(name, json.dumps(known[name]), flush=True)
        path.write_text(json.dumps(known, indent=2) + "\n")


@contextmanager
def store_url(name: str, folder: Path) -> Iterator[str]:
    if name == "sqlite":
        yield f"sqlite:///{folder / 'store.sqlite'}"
        return
    with fresh_store() as store:
        yield store.url


def one_run(args: argparse.Namespace, folder: Path, url: str) -> dict[str, Any]:
    ledger = Ledger()
    simulate.Browser = partial(Clumsy, ledger=ledger)  # type: ignore[misc,assignment]
    database, began = Database.open(url), time.monotonic()
    with Served(folder / "p", f'store = "{url}"\n', seconds=0.002) as served:
        killer = Killer(served, 1, tuple(args.pause), args.kills)
        killer.start()
        plan = simulate.Plan(served.url, args.conversations, tuple(Objective), "kept", workers=args.workers)
        report = simulate.simulate(database, CollectConfig(), plan)
        killer.stop()
    found = verdict(database, ledger)
    database.close()
    return {
        "workers": args.workers,
        "conversations": report.conversations,
        "choices_acknowledged": len(ledger.choices),
        **{f"store_{name}": number for name, number in asdict(found).items()},
        "killed": dict(killer.killed),
        "forms_sent": dict(ledger.sent),
        "requests_sent_again": report.repeats,
        "strange_answers": ledger.strange,
        "conversations_that_did_not_end": args.conversations - report.conversations,
        "seconds": round(time.monotonic() - began, 1),
    }


if __name__ == "__main__":
    main()
