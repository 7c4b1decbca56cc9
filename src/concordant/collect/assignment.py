"""Who meets what: which two snapshots write the next replies, from which seeds, on which side (paper §2.3).

Pure functions of an rng. Left out: exposure limits, and a steering of pairs towards the most informative ones.
"""

import random
from collections.abc import Sequence

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.registry import Deployment
from concordant.store.talks import Draw

BOARD = "board:"
"""A study whose tag begins so is for ratings: its comparisons are always between two different snapshots."""


def draw(
    deployments: Sequence[Deployment], objective: Objective, config: CollectConfig, study: str, rng: random.Random
) -> Draw:
    """The next comparison of a talk. Sides are drawn anew every time.

    Two different snapshots with probability ``cross_model_share`` (always in a board study), else one snapshot twice;
    snapshots are drawn by the weights of their deployments.

    Raises:
        UserError: nothing is deployed for this objective.
    """
    weights: dict[str, float] = {}
    for deployment in deployments:
        if deployment.objective in (None, objective):
            weights[deployment.snapshot.id] = weights.get(deployment.snapshot.id, 0.0) + deployment.weight
    if not weights:
        raise UserError(f"no model is deployed for {objective} conversations; deploy a snapshot first")
    first = _pick(weights, rng)
    second = first
    others = {snapshot: weight for snapshot, weight in weights.items() if snapshot != first}
    share = 1.0 if study.startswith(BOARD) else config.cross_model_share
    if others and rng.random() < share:
        second = _pick(others, rng)
    seeds = (rng.randrange(2**31), rng.randrange(2**31))
    return Draw((first, second), seeds, swap=rng.random() < 0.5)


def draw_objective(config: CollectConfig, rng: random.Random) -> Objective:
    """What a new conversation is for."""
    return Objective.HARMLESS if rng.random() < config.red_team_share else Objective.HELPFUL


def wanted_turns(config: CollectConfig, objective: Objective) -> int:
    """How many choices make a whole conversation."""
    return config.helpful_turns if objective is Objective.HELPFUL else config.red_team_turns


def _pick(weights: dict[str, float], rng: random.Random) -> str:
    snapshots = sorted(weights)  # the same draw for the same rng, whatever the order of the rows
    return rng.choices(snapshots, [weights[snapshot] for snapshot in snapshots])[0]
