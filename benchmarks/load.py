"""200 open streams, 50 active workers: how long other pages take, and whether memory stays flat.

On SQLite and on PostgreSQL, with replies by a scripted sampler. Writes load.json. Left out: more than one web process,
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
    parser.add_argument("--store", choices=("sqlite", "postgresql"), nargs="*", default=("sqlite", "postgresql"))
    args = parser.parse_args()
    size = Size(args.streams, args.workers, args.seconds, args.pace)
    path = Path(__file__).with_suffix(".json")
    known = json.loads(path.read_text()) if path.exists() else {}
    for name in args.store:
        with tempfile.TemporaryDirectory() as folder:
            if name == "sqlite":
                measured = run_load(Path(folder) / "p", f"sqlite:///{folder}/store.sqlite", size)
            else:
                with fresh_store() as store:
                    measured = run_load(Path(folder) / "p", store.url, size)
        known[name] = {**summary(measured, size), "machine": machine()}
        print(name, json.dumps(known[name]), flush=True)
        path.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
