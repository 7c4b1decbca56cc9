"""Snapshots of a policy along √KL, each a folder that loads as the finished policy does (paper §4.3, §4.5, Fig. 4).

The paper compares snapshots of one run with each other and with people's choices. √KL is the axis on which its scores
are lines, so steps of it, and not of updates, are what is kept.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from concordant.models.made_model import NOTE
from concordant.runs import Run, write_whole
from concordant.train.policy_state import Training, samples_of_an_update
from concordant.train_config import PolicyConfig


def keep(run: Run, training: Training, metrics: Mapping[str, float], config: PolicyConfig) -> None:
    """Keep the policy as it stands before an update, if its √KL is the first beyond a mark; let go of what is too many.

    Args:
        run: gets ``kept/<updates so far>/``.
        training: whose samples were just measured and not yet learned from, so that the numbers are of these weights.
        metrics: of those samples: ``kl``, ``root_kl`` and scores.
        config: ``keep_step`` (0: nothing is kept) and ``keep_most``.
    """
    if not config.keep_step:
        return
    roots = [*(float(row["root_kl"]) for row in training.history), metrics["root_kl"]]
    wanted = chosen_steps(roots, config.keep_step, config.keep_most)
    if training.step in wanted:
        measured = {name: value for name, value in metrics.items() if name in ("kl", "root_kl", "score", "test_score")}
        note = {"updates": training.step, "samples": training.step * samples_of_an_update(config), **measured}

        def write(folder: Path) -> None:
            training.model.save_trained(folder)
            write_whole(folder / NOTE, json.dumps(note) + "\n")

        run.keep_model(training.step, write)
    for step in run.kept_steps():
        if step not in wanted:
            run.drop_kept(step)


def chosen_steps(roots: Sequence[float], step: float, most: int) -> list[int]:
    """Which places along a run are kept: those that are the first beyond a multiple of ``step``.

    Where there would be more than ``most``, the step doubles, so that a long run keeps a coarser but whole line. What
    is chosen among the first places depends on these alone, and what was let go of never comes back.

    Args:
        roots: √KL at each place.
        step: > 0.
        most: at least 1.
    """
    kept: list[int] = []
    for place in range(len(roots)):
        kept = _first_beyond(roots, [*kept, place], step)
        while len(kept) > most:
            step *= 2
            kept = _first_beyond(roots, kept, step)
    return kept


def _first_beyond(roots: Sequence[float], places: Sequence[int], step: float) -> list[int]:
    kept, passed = [], 0
    for place in places:
        marks = math.floor(roots[place] / step)
        if marks > passed:
            kept.append(place)
            passed = marks
    return kept
