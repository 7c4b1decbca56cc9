"""Figures of out-of-distribution detection: AUROC by layer (Fig. 22 left, 39) and by number of outliers (Fig. 23)."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, GREY, ORANGE, Figure, Missing, Question, draw, key, number
from concordant.runs import Json

BY_LAYER = Question(
    "ood-by-layer",
    "Fig. 22, 39",
    "In which layer do strange requests show?",
    "The relative score beat the plain distance at every layer and size; the best layers were in the middle, at about "
    "0.85 for 52B.",
    "concordant evaluate ood MODEL --inside FILE --outside FILE --out DIR",
)
BY_OUTLIERS = Question(
    "ood-by-outliers",
    "Fig. 23",
    "How many strange requests must a filter have seen?",
    "With 10 outliers the AUROC was 0.94 ± 0.02 (52B) and 0.86 ± 0.01 (13M).",
    "concordant evaluate ood MODEL --inside FILE --outside FILE --out DIR",
)


def _setting(ood: Json) -> str:
    """What was fitted and examined, for a caption."""
    parts = ood["parts"]
    return (
        f"{len(ood['seeds'])} splits by opening, each with about {parts['fit']:,} inside prompts to fit on and "
        f"{parts['inside_exam']:,} inside, {parts['outside_exam']:,} outside in the exam"
    )


def by_layer_figure(ood: Json) -> Figure | Missing:
    """AUROC of both Mahalanobis scores, layer by layer."""
    rows = ood["by_layer"]
    if len(rows) < 2:
        return Missing(BY_LAYER, f"A curve needs two layers; {len(rows)} was measured.")
    best, above = ood["best_relative"], sum(row["relative"]["auroc"] > row["plain"]["auroc"] for row in rows)
    title = (
        f"Best at layer {best['layer']}: {number(best['auroc'], 3)}; the relative score is ahead at {above} of "
        f"{len(rows)} layers"
    )
    errors = ood["at_layer"]["relative"]["se_exam"]
    caption = (
        f"{_setting(ood)}. Bars are ± one standard deviation over the splits, whose exams overlap; the exam's own "
        f"standard error at layer {ood['layer']} is {errors:.3f}. The best layer was chosen on the exam itself. "
        f"Covariance shrunk towards its diagonal by {ood['shrinkage']:.2f} at layer {ood['layer']}."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax, x = axes[0], np.array([row["layer"] for row in rows])
        lines = (("relative", BLUE, "o-", "● relative"), ("plain", ORANGE, "s--", "■ plain Mahalanobis"))
        lowest = 0.5
        for place, (name, color, style, label) in enumerate(lines):
            y = np.array([row[name]["auroc"] for row in rows])
            bars = np.array([row[name]["sd"] or 0.0 for row in rows])
            ax.errorbar(x, y, bars, fmt=style, color=color, elinewidth=0.8, markersize=3.2)
            key(ax, 1 - place, label, color)
            lowest = min(lowest, float((y - bars).min()))
        _reference(ax, ood["paper"]["best_relative_52b"], "paper's 52B", float(x[0]))
        ax.axhline(0.5, color=GREY, linewidth=0.5, linestyle=(0, (2, 2)))
        ax.set(xlabel=f"layer, of {ood['layers']}", ylabel="AUROC", ylim=(lowest - 0.12, 1.01))

    table: list[list[Any]] = [["layer", "score", "auroc", "sd", "se_exam", "values"]]
    table += [
        [row["layer"], name, row[name]["auroc"], row[name]["sd"], row[name]["se_exam"], _listed(row[name]["values"])]
        for row in rows
        for name in ("relative", "plain")
    ]
    return draw(BY_LAYER, title, caption, paint, table)


def by_outliers_figure(ood: Json) -> Figure | Missing:
    """AUROC of the linear layer against the number of outliers that it was shown."""
    rows = ood["by_outliers"]
    if len(rows) < 2:
        return Missing(BY_OUTLIERS, f"A curve needs two numbers of outliers; {len(rows)} could be drawn.")
    ten = next((row for row in rows if row["outliers"] == 10), rows[-1])
    before = ood["at_layer"]["relative"]["auroc"]
    title = f"{ten['outliers']} outliers: {number(ten['auroc'], 3)}; none, by the relative score: {number(before, 3)}"
    caption = (
        f"Linear layer on layer {ood['layer']}; {_setting(ood)}, and {ood['draws']} draws of outliers in each. Bars "
        f"are ± one standard deviation over splits and draws; the exam's own standard error at {ten['outliers']} is "
        f"{ten['se_exam']:.3f}. Line: the relative score, which sees no outlier. "
        "Crosses: the paper's 13M and 52B at 10."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax, x = axes[0], np.array([row["outliers"] for row in rows], dtype=float)
        y, bars = (np.array([row[name] or 0.0 for row in rows]) for name in ("auroc", "sd"))
        ax.axhline(before, color=ORANGE, linewidth=0.9, linestyle=(0, (4, 3)))
        ax.errorbar(x, y, bars, fmt="o-", color=BLUE, elinewidth=0.9)
        papers = [ood["paper"][name] for name in ("ten_outliers_13m", "ten_outliers_52b")]
        ax.plot([10, 10], papers, "x", color=GREY)
        key(ax, 2, "● linear layer", BLUE)
        key(ax, 1, "dashed: relative score, no outlier", ORANGE)
        key(ax, 0, "× paper, 13M and 52B", GREY)
        ax.set_xscale("log")
        ax.set_xticks(x, [f"{row['outliers']:,}" for row in rows])
        ax.minorticks_off()
        low = min(float((y - bars).min()), before, *papers)
        ax.set(xlabel="outliers shown", ylabel="AUROC", ylim=(math.floor(10 * low) / 10 - 0.12, 1.01))

    table: list[list[Any]] = [["outliers", "auroc", "sd", "se_exam", "values"]]
    table += [[row["outliers"], row["auroc"], row["sd"], row["se_exam"], _listed(row["values"])] for row in rows]
    return draw(BY_OUTLIERS, title, caption, paint, table)


def _reference(ax: Any, at: float, name: str, x: float) -> None:
    ax.axhline(at, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)))
    ax.annotate(name, (x, at), (0, 2), textcoords="offset points", color=GREY)


def _listed(values: Sequence[float]) -> str:
    return " ".join(f"{value:.4f}" for value in values)
