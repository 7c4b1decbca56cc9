"""Elo here and with evalica and arena-rank: the same ratings, the same intervals in the peers' case, and the time.

The peers' case: every vote independent, no side, no strength. evalica fits by iteration (no intervals); arena-rank's
default intervals are a sandwich over votes, made here from our own derivatives with its ridge. Writes
elo_against_peers.json. ``make bench-elo`` installs the peers in benchmarks/.peers-elo, with packages of their own.

    python benchmarks/elo_against_peers.py [--votes N] [--models M]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

PEERS = Path(__file__).parent / ".peers-elo"
ELO = 400 / np.log(10)
RIDGE = 1e-5
"""arena-rank's default: what it adds to the information of each model, for each vote."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--votes", type=int, default=200_000)
    parser.add_argument("--models", type=int, default=20)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", choices=tuple(SIDES), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        (args.work / f"{args.side}.json").write_text(json.dumps(SIDES[args.side](_votes(args.votes, args.models))))
        return
    with tempfile.TemporaryDirectory() as scratch:
        sides = {name: _run(Path(scratch), name, args) for name in SIDES}
    ours = sides["concordant"]
    result: dict[str, Any] = {"votes": args.votes, "models": args.models}
    result["seconds"] = {name: side["seconds"] for name, side in sides.items()}
    for name in ("evalica", "arena-rank"):
        result[f"largest_score_difference_{name}"] = _largest(sides[name]["scores"], ours["scores"])
    result["largest_error_difference_arena-rank"] = _largest(sides["arena-rank"]["errors"], ours["errors"])
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _largest(one: list[float], other: list[float]) -> float:
    return float(np.abs(np.array(one) - np.array(other)).max())


def _run(work: Path, side: str, args: argparse.Namespace) -> dict[str, Any]:
    """One side in a process of its own, since the peers want another numpy."""
    command = [sys.executable, __file__, "--work", str(work), "--side", side]
    command += ["--votes", str(args.votes), "--models", str(args.models)]
    path = os.pathsep.join([str(PEERS), os.environ.get("PYTHONPATH", "")])
    subprocess.run(command, check=True, env=os.environ | ({} if side == "concordant" else {"PYTHONPATH": path}))
    result: dict[str, Any] = json.loads((work / f"{side}.json").read_text())
    return result


def _votes(number: int, models: int) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """(labels, first, second, whether the first won)."""
    random = np.random.default_rng(0)
    score = random.normal(0, 0.7, models)
    first = random.integers(0, models, number)
    second = (first + random.integers(1, models, number)) % models
    won = random.random(number) < 1 / (1 + np.exp(score[second] - score[first]))
    return [f"m{index:02}" for index in range(models)], first, second, won


def _best_of(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the best of three times: a first call may compile."""
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        made = work()
        seconds.append(time.perf_counter() - began)
    return made, round(min(seconds), 3)


def _ours(votes: Any) -> dict[str, Any]:
    from concordant.board_fit import Model, derivatives, fit, vote_slopes
    from concordant.evaluate.votes import Votes, count

    names, first, second, won = votes
    zeros, number = np.zeros(len(first), dtype=np.int64), len(names)
    table = Votes(
        tuple(names), np.where(won, first, second), np.where(won, second, first), zeros, zeros, zeros, (None,)
    )

    def work() -> Any:
        counted = count(table)
        model = Model(counted.cells, 0)
        found = fit(model, counted.votes)
        information = derivatives(model, counted.votes, found)[1][:number, :number]
        squares = (counted.votes * vote_slopes(model, found) ** 2).sum(axis=(0, 1))
        meat = counted.cells.incidence.T @ (squares[:, None] * counted.cells.incidence)
        bread = np.linalg.inv(information + RIDGE * len(first) * np.eye(number))
        return found[:number], bread @ meat @ bread

    (scores, sandwich), seconds = _best_of(work)
    errors = np.sqrt(np.diag(sandwich))
    return {"scores": (scores - scores.mean()).tolist(), "errors": errors.tolist(), "seconds": seconds}


def _evalica(votes: Any) -> dict[str, Any]:
    import evalica

    names, first, second, won = votes
    left, right = [names[index] for index in first], [names[index] for index in second]
    winners = [evalica.Winner.X if one else evalica.Winner.Y for one in won]
    found, seconds = _best_of(lambda: evalica.bradley_terry(left, right, winners, tolerance=1e-12, limit=100_000))
    scores = np.log([found.scores[name] for name in names])
    return {"scores": (scores - scores.mean()).tolist(), "seconds": seconds}


def _arena_rank(votes: Any) -> dict[str, Any]:
    import pandas
    from arena_rank.models.bradley_terry import BradleyTerry
    from arena_rank.utils.data_utils import PairDataset

    names, first, second, won = votes
    frame = pandas.DataFrame(
        {
            "model_a": [names[index] for index in first],
            "model_b": [names[index] for index in second],
            "winner": np.where(won, "model_a", "model_b"),
        }
    )

    def work() -> Any:
        data = PairDataset.from_pandas(frame)
        fitted = BradleyTerry(len(names), hessian_reg=RIDGE, ftol=0.0, gtol=1e-10)
        return fitted.compute_ratings_and_cis(data)

    found, seconds = _best_of(work)
    order = np.argsort(found["competitors"])
    scores = (np.array(found["ratings"])[order] - 1000) / ELO
    errors = np.sqrt(np.array(found["variances"])[order]) / ELO
    return {"scores": (scores - scores.mean()).tolist(), "errors": errors.tolist(), "seconds": seconds}


SIDES = {"concordant": _ours, "evalica": _evalica, "arena-rank": _arena_rank}


if __name__ == "__main__":
    main()
