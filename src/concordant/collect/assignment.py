"""Who meets what: which two snapshots write the next replies, from which seeds, on which side (paper §2.3).

Pure functions of an rng. Left out: exposure limits, and a steering of pairs towards the most informative ones.
"""

import random
from collections.abc import Sequence

from concordant.comparison import Objective
from concordant.errors import Refusal
from concordant.programme_config import CollectConfig
from concordant.store.kill_switch import Orphan, Redraw
from concordant.store.registry import Deployment, SnapshotKind, State
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
    weights = _weights(deployments, objective)
    if not weights:
        raise Refusal(
            "refused.no_model", f"no model is deployed for {objective} conversations; deploy a snapshot first"
        )
    first = _pick(weights, rng)
    second = first
    others = {snapshot: weight for snapshot, weight in weights.items() if snapshot != first}
    share = 1.0 if study.startswith(BOARD) else config.cross_model_share
    if others and rng.random() < share:
        second = _pick(others, rng)
    return _seeded(first, second, rng)


def draw_beside(
    snapshot_id: str, deployments: Sequence[Deployment], objective: Objective, rng: random.Random
) -> Draw | None:
    """A comparison of one snapshot with another, drawn by weight; None: no other one is deployed for this objective."""
    others = _weights(deployments, objective)
    others.pop(snapshot_id, None)
    return _seeded(snapshot_id, _pick(others, rng), rng) if others else None


def draw_given(deployments: Sequence[Deployment], objective: Objective, rng: random.Random) -> str | None:
    """Which file of people's replies a new talk begins from; None: from none, the worker writes the opening.

    By weight among all that is live for the objective: a file of weight 1 beside models of weight 3 begins a quarter.
    """
    live = [one for one in deployments if one.state is State.LIVE and one.objective in (None, objective)]
    if not any(one.answers(objective) for one in live):
        return None  # nothing could write the other reply
    picked = rng.choices(live, [one.weight for one in live])[0]
    return picked.snapshot.id if picked.snapshot.kind is SnapshotKind.WRITTEN else None


def redraw(rng: random.Random) -> Redraw:
    """Who writes a reply instead of a stopped deployment.

    By weight; a pair between two snapshots stays one where that can be, and a pair by one snapshot stays that too.
    """

    def redrawn(live: Sequence[Deployment], orphan: Orphan) -> str | None:
        weights = _weights(live, orphan.objective)
        if orphan.same:
            return orphan.other if orphan.other in weights else _pick(weights, rng) if weights else None
        others = {snapshot: weight for snapshot, weight in weights.items() if snapshot != orphan.other}
        return _pick(others or weights, rng) if weights else None

    return redrawn


def expected_shares(deployments: Sequence[Deployment], objective: Objective, config: CollectConfig) -> dict[str, float]:
    """Snapshot id → the share of replies that ``draw`` gives it, over many draws; they add up to 1.

    The first of a pair is drawn by weight. The second is the first, or, in the cross-model share, another by weight: so
    a light snapshot writes more than its weight says, as two different ones take part in each such pair.
    """
    weights = _weights(deployments, objective)
    total = sum(weights.values())
    first = {snapshot: weight / total for snapshot, weight in weights.items()}
    if len(first) < 2:
        return first
    cross = config.cross_model_share
    after = {
        one: sum(share * first[one] / (1 - share) for other, share in first.items() if other != one) for one in first
    }
    return {one: (first[one] + (1 - cross) * first[one] + cross * after[one]) / 2 for one in first}


def draw_objective(config: CollectConfig, rng: random.Random) -> Objective:
    """What a new conversation is for."""
    return Objective.HARMLESS if rng.random() < config.red_team_share else Objective.HELPFUL


def wanted_turns(config: CollectConfig, objective: Objective) -> int:
    """How many choices make a whole conversation."""
    return config.helpful_turns if objective is Objective.HELPFUL else config.red_team_turns


def _weights(deployments: Sequence[Deployment], objective: Objective) -> dict[str, float]:
    """Snapshot id → its weight in such talks, all its live deployments together."""
    weights: dict[str, float] = {}
    for one in deployments:
        if one.state is State.LIVE and one.answers(objective):
            weights[one.snapshot.id] = weights.get(one.snapshot.id, 0.0) + one.weight
    return weights


def _seeded(first: str, second: str, rng: random.Random) -> Draw:
    seeds = (rng.randrange(2**31), rng.randrange(2**31))
    return Draw((first, second), seeds, swap=rng.random() < 0.5)


def _pick(weights: dict[str, float], rng: random.Random) -> str:
    snapshots = sorted(weights)  # the same draw for the same rng, whatever the order of the rows
    return rng.choices(snapshots, [weights[snapshot] for snapshot in snapshots])[0]
