"""200 open streams, 50 active workers: how long other pages take, and whether memory stays flat.

On SQLite and on PostgreSQL, with replies by a scripted sampler. A worker pauses for 5 s, as a mean, before each message
and each choice, which is faster than people read and write; ``--pause 0`` has all of them act at the same instants, as
machines do. Writes load.json, one entry for each store and pause. Left out: more than one web process,
TLS, a network; the workers and the stopwatch run on the same machine.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import machine

from load_run import Size, run_load, summary
from postgres_server import fresh_store


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--pace", type=float, default=0.06, help="seconds a word of a reply")
    parser.add_argument("--pause", type=float, default=5.0, help="seconds, as a mean, before a message or a choice")
    parser.add_argument("--store", choices=("sqlite", "postgresql"), nargs="*", default=("sqlite", "postgresql"))
    args = parser.parse_args()
    size = Size(args.streams, args.workers, args.seconds, args.pace, pause=args.pause)
    path = Path(__file__).with_suffix(".json")
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in args.store:
        with tempfile.TemporaryDirectory() as folder:
            if name == "sqlite":
                measured = run_load(Path(folder) / "p", f"sqlite:///{folder}/store.sqlite", size)
            else:
                with fresh_store() as store:
                    measured = run_load(Path(folder) / "p", store.url, size)
        entry = f"{name}, pause {size.pause:g} s"
        known[entry] = {**summary(measured, size), "machine": machine()}
        print(entry, json.dumps(known[entry]), flush=True)
        path.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
