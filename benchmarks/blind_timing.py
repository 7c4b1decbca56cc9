"""Can a worker tell by times alone which side a faster model wrote? A classifier tries, in all three ways of showing.

It gets every time that a client can clock. Writes blind_timing.json: how often it is right, and how likely that is by
tossing a coin. Together must stay at chance; free must not, or the classifier is too weak to say anything.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from machine import machine

from concordant.collect.room import Room
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from timing_guess import deploy_fast_and_slow, guess_sides


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--pace", type=float, nargs=2, default=(0.005, 0.03), help="seconds a word, of the two models")
    args = parser.parse_args()
    result = {"workers": args.workers, "turns": args.turns, "seconds_a_word": list(args.pace), "machine": machine()}
    for show in ("together", "lockstep", "free"):
        with tempfile.TemporaryDirectory() as folder:
            database = Database.open(f"sqlite:///{folder}/store.sqlite")
            fast, _ = deploy_fast_and_slow(database)
            room = Room(database, CollectConfig(show=show, cross_model_share=1.0), seed=f"blind {show}")
            found = guess_sides(room, fast, tuple(args.pace), (args.workers, args.turns))
            database.close()
        result[show] = {"right": found.right, "of": found.of, "share": round(found.share, 3), "chance": found.chance}
        print(show, result[show], flush=True)
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
