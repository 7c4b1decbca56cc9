"""Figures of capabilities: scores by task (Fig. 28, 29), and the differences from the first model (Fig. 3).

The paper has model sizes on its x axis. Few have seven sizes: here every task is a line, and the models stand on it.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.capability_tasks import TASKS
from concordant.evaluate.figures import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    Figure,
    Missing,
    Question,
    draw,
    number,
    percent,
    percent_span,
    signed,
)  # fmt: skip
from concordant.runs import Json

ZERO_SHOT = Question(
    "capabilities-zero-shot",
    "Fig. 28",
    "What can it do without examples?",
    "RLHF helped the 13B and 52B models on all tasks but TriviaQA, and hurt the small ones.",
    "concordant evaluate capabilities MODEL MODEL --out DIR",
)
FEW_SHOT = Question(
    "capabilities-few-shot",
    "Fig. 29",
    "What can it do with a few examples?",
    "With examples, RLHF made little difference to the large models.",
    "concordant evaluate capabilities MODEL MODEL --shots 0,5 --out DIR",
)
TAX = Question(
    "alignment-tax",
    "Fig. 3",
    "What did training cost?",
    "The mean of seven tasks fell for small models and rose for 13B and 52B without examples; with them it stayed.",
    "concordant evaluate capabilities MODEL MODEL --out DIR",
)

_MARKS = ((BLUE, "o"), (ORANGE, "s"), (GREEN, "^"), (INK, "D"), (GREY, "v"))
MOST_MODELS = len(_MARKS)
_AXES_POINTS = 125
"""Height of the axes, about."""
_MISSING = "Capabilities were not measured; run 'concordant evaluate capabilities MODEL MODEL --out DIR'."


def figures_of(result: Json | None) -> list[Figure | Missing]:
    """All figures of a measurement."""
    if result is None:
        return [Missing(question, _MISSING) for question in (TAX, ZERO_SHOT, FEW_SHOT)]
    return [tax_figure(result), task_figure(result, ZERO_SHOT), task_figure(result, FEW_SHOT)]


def task_figure(result: Json, question: Question) -> Figure | Missing:
    """Each task's score by every model, without examples or with the most there are."""
    counts = sorted({row["shots"] for row in result["tasks"]})
    shots = 0 if question is ZERO_SHOT else counts[-1]
    rows = [row for row in result["tasks"] if row["shots"] == shots and (shots > 0 or question is ZERO_SHOT)]
    if not rows:
        return Missing(question, f"Nothing was measured {'without' if question is ZERO_SHOT else 'with'} examples.")
    models = result["models"][:MOST_MODELS]
    means = {part["shots"]: part for part in result["means"]}
    if shots in means:
        said = ", ".join(f"{name} {percent(means[shots]['scores'][name]['value'])}" for name in models)
        title = f"Mean of {len(rows)} tasks: {said}"
    else:
        said = ", ".join(f"{name} {percent(rows[0]['scores'][name]['value'])}" for name in models)
        title = f"{_title(rows[0]['task'])}: {said}"
    counted = ", ".join(f"{_title(row['task'])} {row['n']:,}" for row in rows)
    caption = (
        f"{shots} examples before each question. n: {counted}. Bars are 95\u202f% intervals of each share by itself; "
        "what models differ by is in the figure of differences. Ticks: guessing."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(rows))[::-1]
        ax.plot([100 * row["chance"] for row in rows], places, "|", color=GREY, markersize=9)
        for mark, name in enumerate(models):
            _bars(ax, places, [row["scores"][name] for row in rows], mark, len(models), 100.0)
        _name_lines(ax, places, [f"{_title(row['task'])}" for row in rows])
        ax.set_xlabel("right (%)")
        _legend(ax, models)

    table: list[list[Any]] = [["task", "shots", "metric", "model", "score", "ci95_low", "ci95_high", "n", "chance"]]
    table += [
        [row["task"], row["shots"], row["metric"], name, row["scores"][name]["value"], *row["scores"][name]["ci95"],
         row["n"], row["chance"]]
        for row in rows
        for name in result["models"]
    ]  # fmt: skip
    return draw(question, title, caption, paint, table)


def tax_figure(result: Json) -> Figure | Missing:
    """Differences from the first model, item by item, for every task and their mean."""
    before, *later = result["models"]
    if not later:
        return Missing(TAX, "One model was measured; a difference needs the model before training, and one after it.")
    later = later[:MOST_MODELS]
    means = [{**part, "task": "mean"} for part in result["means"]]
    rows = [*result["tasks"], *means]
    main = means[0] if means else rows[0]
    gap = main["differences"][later[0]]
    what = f"mean of {len(main['tasks'])} tasks" if "tasks" in main else _title(main["task"])
    low, high = (100 * end for end in gap["ci95"])
    span95 = f"{number(low, 1)} to {number(high, 1)}"
    title = f"{later[0]} against {before}: {signed(100 * gap['value'], 1)} points ({span95}), {what}"
    caption = (
        f"Points of each task's score by which a model is ahead of {before}, on the same items; 95\u202f% intervals "
        "from drawing items anew. "
        + " ".join(
            f"{_title(row['task'])} ({row['shots']}-shot): "
            + "; ".join(_better(name, row["differences"][name]) for name in later)
            + f" of {row['n']:,}."
            for row in result["tasks"]
        )
    )

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(rows))[::-1]
        ax.axvline(0, color=INK, linewidth=0.7)
        for mark, name in enumerate(later):
            _bars(ax, places, [row["differences"][name] for row in rows], mark, len(later), 100.0)
        _name_lines(ax, places, [f"{_title(row['task'])}, {row['shots']}-shot" for row in rows])
        ax.set_xlabel(f"points ahead of {before}")
        if len(later) > 1:
            _legend(ax, later)

    table: list[list[Any]] = [
        ["task", "shots", "model", "difference", "ci95_low", "ci95_high", "better", "worse", "p", "n"]
    ]
    table += [
        [row["task"], row["shots"], name, row["differences"][name]["value"], *row["differences"][name]["ci95"],
         row["differences"][name].get("better"), row["differences"][name].get("worse"),
         row["differences"][name].get("p"), row.get("n")]
        for row in rows
        for name in later
    ]  # fmt: skip
    return draw(TAX, title, caption, paint, table)


def _better(name: str, gap: Json) -> str:
    return f"{name} better on {gap['better']:,}, worse on {gap['worse']:,}"


def _title(task: str) -> str:
    return TASKS[task].title if task in TASKS else task


def _bars(ax: Any, places: Any, parts: Sequence[Json], mark: int, of: int, scale: float) -> None:
    """One model's values with intervals, a little above or below the line's middle."""
    color, shape = _MARKS[mark]
    x = scale * np.array([part["value"] for part in parts])
    bars = np.abs(scale * np.array([part["ci95"] for part in parts]).T - x)
    offset = 0.5 * ((of - 1) / 2 - mark) / max(of, 2)
    ax.errorbar(x, places + offset, xerr=bars, fmt=shape, color=color, elinewidth=0.9, markersize=3.6)


def _name_lines(ax: Any, places: Any, names: Sequence[str]) -> None:
    ax.set_yticks(places, names)
    ax.tick_params(axis="y", labelsize=6.5 if len(names) > 9 else 7)
    ax.grid(True, axis="x")
    ax.set_ylim(-0.7, len(names) - 0.3)


def _legend(ax: Any, models: Sequence[str]) -> None:
    """The models' names in the lower right corner, in room that is made for them below the lines."""
    low, high = ax.get_ylim()
    ax.set_ylim(low - (high - low) * (9 * len(models) + 4) / _AXES_POINTS, high)
    shapes = {"o": "●", "s": "■", "^": "▲", "D": "◆", "v": "▼"}
    for line, name in enumerate(reversed(models)):
        color, shape = _MARKS[len(models) - 1 - line]
        ax.annotate(
            f"{shapes[shape]} {name}", (1, 0), (-3, 4 + 9 * line), "axes fraction", "offset points",
            ha="right", color=color, fontsize=6.5, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6},
        )  # fmt: skip


def score_text(score: Json) -> str:
    """A score in words: "41.2 % (38.0 to 44.4 %)"."""
    return f"{percent(score['value'])} ({percent_span(score['ci95'])})"
