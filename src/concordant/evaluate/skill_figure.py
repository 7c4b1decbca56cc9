"""The figure of a second task (Fig. 20): each task's accuracy alone, and after learning both."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, GREY, ORANGE, Figure, Missing, Question, draw, key, signed
from concordant.runs import Json

SKILL_QUESTION = Question(
    "scan-skill",
    "Fig. 20",
    "What does learning a second task cost the first?",
    "Large models lost nothing on either helpfulness and harmlessness or on summaries by learning both.",
    "concordant scan skill --data FILE --skill FILE --test-fraction 0.1 --out DIR",
)
_ALONE, _BOTH = ((0, 1), 2)
"""Where the models of one task and of both stand on the scan's axis."""


def skill_figure(tests: Sequence[str], rows: Sequence[Json], question: Question) -> Figure | Missing:
    """One panel for each test: trained on it alone, on both, and on the other alone; base models side by side.

    Args:
        tests: names of the two tasks, in the order of the axis.
        rows: of the scan's table.
        question: with the name that the figure's files get.
    """
    made = {model: {row["x"] for row in rows if row["model"] == model} for model in {row["model"] for row in rows}}
    rows = [row for row in rows if made[row["model"]] == {0, 1, 2}]
    if not rows:
        finished = sum(map(len, made.values()))
        return Missing(question, f"It takes models of each task and of both; {finished} are finished.")
    sizes = {row["model"]: row["parameters"] for row in rows}
    models = sorted(sizes, key=lambda name: (sizes[name], name))
    marks = ((1, "×", "x", GREY, "the other alone"), (0, "●", "o", BLUE, "alone"), (2, "◆", "D", ORANGE, "both"))

    def paint(axes: Sequence[Any]) -> None:
        for panel, (ax, test) in enumerate(zip(axes, tests, strict=True)):
            ax.axhline(50, color=GREY, linewidth=0.7, linestyle=(0, (2, 2)))
            for line, (what, sign, mark, colour, words) in enumerate(marks):
                x = _BOTH if what == 2 else _ALONE[panel if what == 0 else 1 - panel]
                found = [_mean(rows, model, x, test) for model in models]
                middle = 100 * np.array([one["accuracy"] for one in found])
                bars = np.abs(100 * np.array([one["ci95"] for one in found]).T - middle)
                places = np.arange(len(models)) + 0.12 * (line - 1)
                ax.errorbar(places, middle, bars, fmt=mark, color=colour, elinewidth=0.8)
                if panel == 0:
                    key(ax, line, f"{sign} {words}", colour)
            ax.set_ylabel(f"{test} (%)")
        axes[-1].set_xticks(range(len(models)), models)
        axes[-1].set_xlim(-0.6, len(models) - 0.1)

    largest = models[-1]
    costs = [_cost(rows, largest, place, test) for place, test in enumerate(tests)]
    title = f"After learning both, {largest} stands {' and '.join(costs)}"
    seeds = len({row["seed"] for row in rows})
    caption = (
        f"{len(rows)} models, {seeds} {'seed' if seeds == 1 else 'seeds'} a point, on "
        + " and ".join(f"{rows[0][f'{test}_n']:,} {test}" for test in tests)
        + " comparisons that none of them learned from. Bars: 95\u202f% interval of each test, which all models share. "
        "Models of both have seen all comparisons of either."
    )
    table: list[list[Any]] = [["model", "learned", "test", "accuracy", "ci95_low", "ci95_high"]]
    learned = [*tests, "both"]
    table += [
        [model, learned[x], test, found["accuracy"], *found["ci95"]]
        for model in models
        for x in range(3)
        for test in tests
        for found in [_mean(rows, model, x, test)]
    ]
    return draw(question, title, caption, paint, table, panels=2)


def _mean(rows: Sequence[Json], model: str, x: int, test: str) -> Mapping[str, Any]:
    """Mean over the seeds, its interval's ends likewise."""
    same = [row for row in rows if (row["model"], row["x"]) == (model, x)]

    def mean(column: str) -> float:
        return sum(float(row[f"{test}_{column}"]) for row in same) / len(same)

    return {"accuracy": mean("accuracy"), "ci95": [mean("ci95_low"), mean("ci95_high")]}


def _cost(rows: Sequence[Json], model: str, place: int, test: str) -> str:
    both, alone = (_mean(rows, model, x, test)["accuracy"] for x in (_BOTH, _ALONE[place]))
    return f"{signed(100 * (both - alone), 1)} points on {test}"
