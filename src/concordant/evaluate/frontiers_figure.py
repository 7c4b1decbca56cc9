"""Several policies on the axes of Fig. 13: does every run climb at one slope in √KL?

Scores of different preference models have no common zero, so each run is drawn from where its own line begins.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from concordant.errors import UserError
from concordant.evaluate.figures import BLUE, GREEN, ORANGE, Figure, Missing, Question, draw, key, number
from concordant.evaluate.frontier import Frontier, fit_frontier
from concordant.runs import Json

FRONTIERS = Question(
    "policies-against-root-kl",
    "Fig. 13",
    "Do policies climb at one slope?",
    "For one preference model, the lines of policies of several sizes were roughly parallel; no slope is reported.",
    "concordant report RUN RUN --out DIR",
)
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
_MARKS = ("o", "D", "s", "^", "v", "P")
MOST_NAMED = 6
"""Runs that have a mark of their own; more are drawn in the first one's, unnamed."""


def frontiers_figure(policies: Mapping[str, Sequence[Json]]) -> Figure | Missing:
    """The rise of the score with √KL, run by run.

    Args:
        policies: name → rows of a policy run's metrics.
    """
    lines: dict[str, Frontier] = {}
    for name, rows in policies.items():
        try:
            lines[name] = fit_frontier(rows)
        except UserError:
            continue  # too short for a line of its own; the table of runs has it all the same
    if len(lines) < 2:
        return Missing(FRONTIERS, "It takes two policy runs that are long enough for a line; give several.")
    slopes = [line.slope for line in lines.values()]
    apart = len(lines) <= MOST_NAMED

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        for place, (name, line) in enumerate(lines.items()):
            colour, mark = (_COLOURS[place], _MARKS[place]) if apart else (BLUE, "o")
            x, y = np.array(line.root_kl), np.array(line.score) - line.intercept
            edge = line.early_kl**0.5
            ax.plot(x, y, mark, color=colour, markersize=2.8, alpha=0.55)
            ax.plot([0, edge], [0, line.slope * edge], color=colour, linewidth=1.0)
            if apart:
                key(ax, len(lines) - 1 - place, name, colour)
        ax.set(xlabel="√KL from the first policy (√nats per reply)", ylabel="rise of the mean score")

    caption = (
        f"{len(lines)} runs, each from where its own line meets √KL = 0. Points: updates; lines: least squares on the "
        "early updates of each run, as in its own figure. Scores of different preference models share no unit."
    )
    low, high = (number(end(slopes), 2) for end in (min, max))
    title = (
        f"Slopes of {len(lines)} runs: {low} to {high} per √nat" if low != high else f"All slopes are {low} per √nat"
    )
    table: list[list[Any]] = [["run", "root_kl", "rise", "slope", "slope_ci95_low", "slope_ci95_high", "r2"]]
    for name, line in lines.items():
        table += [
            [name, x, y - line.intercept, line.slope, *line.slope_ci95, line.r2]
            for x, y in zip(line.root_kl, line.score, strict=True)
        ]
    return draw(FRONTIERS, title, caption, paint, table)
