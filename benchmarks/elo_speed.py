"""How long a board of many votes takes: reading, fitting, intervals; and one vote on a live board.

Votes of 50 models by 1,000 workers with leans of their own, in conversations of four. Writes elo_speed.json.

    python benchmarks/elo_speed.py [--votes N] [--models M] [--workers W] [--keep FILE.csv]
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from concordant.bradley_terry import Game
from concordant.evaluate.board_draws import How
from concordant.evaluate.elo import Settings, board
from concordant.evaluate.games_csv import read_games
from concordant.live_board import LiveBoard

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--votes", type=int, default=1_000_000)
    parser.add_argument("--models", type=int, default=50)
    parser.add_argument("--workers", type=int, default=1000)
    parser.add_argument("--keep", type=Path, help="write the votes here and leave them")
    args = parser.parse_args()
    result: dict[str, Any] = {"votes": args.votes, "models": args.models, "workers": args.workers}
    with tempfile.TemporaryDirectory() as scratch:
        file = args.keep or Path(scratch) / "votes.csv"
        write_votes(file, args.votes, args.models, args.workers)
        games, result["read_seconds"] = timed(lambda: read_games(file))
    votes, _ = games.board("")
    for name, replicates in (("fit_seconds", 1), ("fit_and_2000_draws_seconds", 2000)):
        how = Settings(how=How(replicates=replicates))
        made, result[name] = timed(lambda how=how: board(votes, "m00", settings=how))  # type: ignore[misc]
    result["method"] = made.interval_method
    result["live"] = live(args.models)
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def timed(work: Callable[[], T]) -> tuple[T, float]:
    began = time.perf_counter()
    made = work()
    return made, round(time.perf_counter() - began, 2)


def write_votes(file: Path, number: int, models: int, workers: int) -> None:
    random = np.random.default_rng(0)
    score = random.normal(0, 0.6, models)
    worker = np.repeat(random.integers(0, workers, number // 4 + 1), 4)[:number]
    lean = random.normal(0, 0.5, (workers, models))
    left = random.integers(0, models, number)
    right = (left + random.integers(1, models, number)) % models
    gap = score[left] - score[right] + lean[worker, left] - lean[worker, right] + 0.1
    won = random.random(number) < 1 / (1 + np.exp(-gap))
    with file.open("w") as out:
        out.write("model_a,model_b,winner,worker,shown_left,strength,conversation\n")
        strength = random.integers(2, 5, number)
        rows = zip(left.tolist(), right.tolist(), won.tolist(), worker.tolist(), strength.tolist(), strict=True)
        for index, (a, b, first, who, strong) in enumerate(rows):
            out.write(f"m{a:02},m{b:02},{'a' if first else 'b'},w{who:04},a,{strong},t{index // 4}\n")


def live(models: int) -> dict[str, float]:
    """Milliseconds of one vote, and of reading off all ratings with errors, after 2,000 votes of 20 workers."""
    random = np.random.default_rng(1)
    board_now = LiveBoard("m00", [f"m{index:02}" for index in range(models)])
    votes, reads = [], []
    for index in range(2000):
        a, b = random.choice(models, 2, replace=False)
        game = Game(f"m{a:02}", f"m{b:02}", f"w{index % 20}", bool(random.random() < 0.5))
        votes.append(timed_ms(lambda game=game: board_now.vote(game)))  # type: ignore[misc]
        if index >= 1900:
            reads.append(timed_ms(board_now.ratings))
    return {
        "vote_ms_median": round(float(np.median(votes[-500:])), 2),
        "vote_ms_95": round(float(np.percentile(votes[-500:], 95)), 2),
        "ratings_ms_median": round(float(np.median(reads)), 2),
    }


def timed_ms(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began)


if __name__ == "__main__":
    main()
