"""Do 95 % intervals of Elo hold the truth 95 % of the time? Boards are made whose truth is known, and counted.

Each worker has a lean of their own on each model, each conversation too, and the left side is worth something. The
truth is what all workers together would choose: Bradley–Terry fitted to the exact chances. Compared: drawing whole
workers, drawing workers and their conversations, and the naive bootstrap over votes. Writes elo_coverage.json.

    python benchmarks/elo_coverage.py [--rounds N] [--seed S] [--only NAME]
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.board_fit import Model, fit
from concordant.evaluate.board_draws import How
from concordant.evaluate.elo import Settings, fit_board
from concordant.evaluate.votes import Votes
from concordant.vote_cells import Cells

Array = NDArray[np.float64]
SCORES = np.array([0.0, 0.3, 0.35, 1.0])
SIDE, REPLICATES = 0.15, 400


@dataclass(frozen=True)
class World:
    """Who judges: how many, how unlike, and how the work is spread.

    Attributes:
        workers: how many.
        worker_sd: spread of a worker's lean on a model, in units of score.
        talk_sd: the same of a conversation.
        talks: conversations of a worker, of four votes each, on average.
        unequal: whether a fifth of the workers makes four fifths of the conversations.
    """

    workers: int
    worker_sd: float
    talk_sd: float
    talks: int
    unequal: bool = False


WORLDS = {
    "workers differ": World(40, 0.5, 0.3, 8),
    "workers differ much": World(40, 1.0, 0.3, 8),
    "few workers differ": World(12, 0.5, 0.3, 15),
    "20 % make 80 %": World(60, 0.5, 0.3, 8, unequal=True),
    "workers are alike": World(40, 0.0, 0.0, 8),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=tuple(WORLDS))
    args = parser.parse_args()
    file = Path(__file__).with_suffix(".json")
    result: dict[str, Any] = json.loads(file.read_text()) if args.only and file.exists() else {}
    for name in [args.only] if args.only else WORLDS:
        began = time.perf_counter()
        result[name] = coverage(WORLDS[name], args.rounds, args.seed)
        result[name] |= {"rounds": args.rounds, "seed": args.seed, "seconds": round(time.perf_counter() - began, 1)}
        print(name, json.dumps(result[name]), flush=True)
    file.write_text(json.dumps(result, indent=2) + "\n")


def coverage(world: World, rounds: int, seed: int) -> dict[str, Any]:
    """Share of intervals that hold the truth, by way of drawing: ratings, side effect, ranks; and the mean width."""
    random, truth = np.random.default_rng(seed), population_truth(world)
    places = 1 + (truth[None, :4] > truth[:4, None]).sum(axis=1)
    held: dict[str, list[tuple[float, float, float, float]]] = {"workers": [], "both": [], "votes": []}
    for _ in range(rounds):
        votes = make_votes(world, random)
        for way, found in held.items():
            settings = Settings("m0", how=How("both" if way == "both" else "workers", REPLICATES))
            sure = fit_board(by_vote(votes) if way == "votes" else votes, "m0", None, settings).sure
            spans = [sure.interval(index) for index in range(1, 4)]
            ratings = np.mean([low <= true <= high for (low, high), true in zip(spans, truth[1:4], strict=True)])
            low, high = sure.interval(4)
            ranks = np.mean([a <= place <= b for (a, b), place in zip(sure.ranks(4), places, strict=True)])
            width = np.mean([high - low for low, high in spans])
            found.append((float(ratings), float(low <= truth[4] <= high), float(ranks), float(width) * 173.7178))
    return {
        way: dict(zip(("ratings", "side", "ranks", "width_elo"), np.mean(found, axis=0).round(3).tolist(), strict=True))
        for way, found in held.items()
    }


def population_truth(world: World) -> Array:
    """(5,) scores and side effect of the fit to what everybody together would choose, pairs and sides equally often."""
    first, second = np.triu_indices(4, 1)
    cells = Cells(4, first, second, np.array([1.0, -1.0]))
    points, weights = np.polynomial.hermite_e.hermegauss(61)
    spread = np.sqrt(2 * (world.worker_sd**2 + world.talk_sd**2))
    gap = (SCORES[first] - SCORES[second]) + SIDE * cells.sides[:, None]
    chance = (1 / (1 + np.exp(-(gap[..., None] + spread * points)))) @ (weights / weights.sum())
    return fit(Model(cells, 0, side=True), np.stack([chance, 1 - chance], axis=1))


def make_votes(world: World, random: np.random.Generator) -> Votes:
    """What one group of workers chooses."""
    load = np.full(world.workers, world.talks)
    if world.unequal:
        load[:] = round(world.talks * 0.25)
        load[: world.workers // 5] = world.talks * 4
    owner = np.repeat(np.arange(world.workers), load)
    talk = np.repeat(np.arange(len(owner)), 4)
    worker = owner[talk]
    lean = world.worker_sd * random.standard_normal((world.workers, 4))[worker]
    lean += world.talk_sd * random.standard_normal((len(owner), 4))[talk]
    left = random.integers(0, 4, len(talk))
    right = (left + random.integers(1, 4, len(talk))) % 4
    rows = np.arange(len(talk))
    gap = SCORES[left] - SCORES[right] + lean[rows, left] - lean[rows, right] + SIDE
    won = random.random(len(talk)) < 1 / (1 + np.exp(-gap))
    return Votes(
        models=("m0", "m1", "m2", "m3"),
        winner=np.where(won, left, right),
        loser=np.where(won, right, left),
        side=np.where(won, 1, -1),
        strength=np.zeros(len(talk), dtype=np.int64),
        worker=worker,
        workers=tuple(f"w{index:03}" for index in range(world.workers)),
        conversation=talk,
    )


def by_vote(votes: Votes) -> Votes:
    """The same votes as if each were a worker's only one."""
    rows = np.arange(len(votes))
    names = tuple(f"v{index:06}" for index in rows)
    return Votes(votes.models, votes.winner, votes.loser, votes.side, votes.strength, rows, names)


if __name__ == "__main__":
    main()
