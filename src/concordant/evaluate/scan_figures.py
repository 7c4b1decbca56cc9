"""Figures of scans: accuracy against comparisons (Fig. 7), mixture (Fig. 19, 26), loss weight (Fig. 27), any setting.

A scan's tests are the same for all its models, so their noise moves a whole curve; the scatter of the seeds is what
order, draw and initial values do. The two are drawn apart: bars and strokes. Left out: curves divided by each size's
best (the lower rows of Fig. 19 and 26), which the table allows.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

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
    signed,
)
from concordant.evaluate.skill_figure import SKILL_QUESTION, skill_figure
from concordant.runs import Json

COMPARISONS, MIXTURE, LOSS_WEIGHT, SKILL = "comparisons", "harmless_share", "harmless_weight", "skill"

QUESTIONS = {
    COMPARISONS: Question(
        "scan-comparisons",
        "Fig. 7",
        "How much do more comparisons help?",
        "Accuracy rose about linearly with the logarithms of comparisons and of size. On helpful data: "
        "0.72 + 0.007 ln(P/1e11) + 0.015 ln(D/8e4).",
        "concordant scan comparisons --data FILE --sizes N N --out DIR",
    ),
    MIXTURE: Question(
        "scan-mixture",
        "Fig. 19, 26",
        "What does mixing helpful and harmless comparisons cost?",
        "Trained on one objective alone, models were far below chance on the other (about 35 to 38 %, read off the "
        "figure); between the ends the mean accuracy was flat, the more so the larger the model.",
        "concordant scan mixture --data helpful=FILE harmless=FILE --out DIR",
    ),
    SKILL: SKILL_QUESTION,
    LOSS_WEIGHT: Question(
        "scan-loss-weight",
        "Fig. 27",
        "How much should harmless comparisons weigh?",
        "A weight of 2 or 3 gave the best mean accuracy; from 1 to 10 helpful accuracy fell by 7.4 points at 13M "
        "and by 1.5 at 52B.",
        "concordant scan loss-weight --data FILE --out DIR",
    ),
}

PURE_ON_THE_OTHER = (0.35, 0.38)
"""Accuracy on the objective that was not trained on, any size (Fig. 19, read off the figure)."""

_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
_MARKS = {"helpful": ("o", "-"), "harmless": ("s", (0, (4, 2))), "mean": ("D", "-")}


@dataclass(frozen=True, slots=True)
class Point:
    """Models that differ in their seed alone, on one test.

    Attributes:
        model: name of the base model.
        curve: "helpful", "harmless", or "mean" of the two.
        x: where they stand on the axis.
        accuracy: mean over the seeds.
        ci95: that mean and the tests' 95 % interval around it, averaged over the seeds.
        seeds: accuracy of each seed.
    """

    model: str
    curve: str
    x: float
    accuracy: float
    ci95: tuple[float, float]
    seeds: tuple[float, ...]

    def json(self) -> Json:
        return {
            "model": self.model,
            "curve": self.curve,
            "x": self.x,
            "accuracy": self.accuracy,
            "ci95": list(self.ci95),
            "seeds": list(self.seeds),
        }


def papers_fit(parameters: float, comparisons: float) -> float:
    """Accuracy by the paper's fit for helpful-only models (A.1), "log" read as natural; parameters: no embeddings."""
    return 0.72 + 0.007 * math.log(parameters / 1e11) + 0.015 * math.log(comparisons / 8e4)


def scan_points(tests: Sequence[str], rows: Sequence[Json]) -> list[Point]:
    """The means over seeds, curve by curve; with two tests also their mean, with an interval as if independent."""
    points = []
    for curve in [*tests, *(["mean"] if len(tests) > 1 else [])]:
        parts = [curve] if curve != "mean" else list(tests)
        for model, x in dict.fromkeys((row["model"], row["x"]) for row in rows):
            same = [row for row in rows if (row["model"], row["x"]) == (model, x)]
            seeds = tuple(sum(row[f"{part}_accuracy"] for part in parts) / len(parts) for row in same)
            mean = sum(seeds) / len(seeds)
            below, above = (
                sum(
                    math.hypot(*(row[f"{part}_ci95_{end}"] - row[f"{part}_accuracy"] for part in parts)) / len(parts)
                    for row in same
                )
                / len(same)
                for end in ("low", "high")
            )
            points.append(Point(model, curve, float(x), mean, (max(0.0, mean - below), min(1.0, mean + above)), seeds))
    return sorted(points, key=lambda point: (point.curve, point.model, point.x))


def scan_figure(
    scanned: str, tests: Mapping[str, Any], rows: Sequence[Json], suffix: str = ""
) -> tuple[Figure | Missing, list[Json]]:
    """(the figure, its points as JSON) of a scan's table.

    Args:
        scanned: what the x axis is: "comparisons", "harmless_share", or a key of the config.
        tests: objectives that were tested.
        rows: of the table; each with x, model, seed, parameters and ``{objective}_accuracy`` with its interval.
        suffix: of the figure's name, where a page shows several scans of one key.
    """
    question = QUESTIONS.get(
        scanned,
        Question(
            f"scan-{scanned}",
            "—",
            f"What does {scanned} do?",
            "Not in the paper.",
            "concordant scan setting --data FILE --key KEY --values N --out DIR",
        ),
    )
    question = replace(question, name=question.name + suffix)
    points = scan_points(list(tests), rows)
    json = [point.json() for point in points]
    if scanned == SKILL:
        return skill_figure(list(tests), rows, question), json
    if len({row["x"] for row in rows}) < 2:
        return Missing(question, f"A curve needs two values of {scanned}; {len(rows)} models are finished."), json
    fit = _fit_lines(scanned, rows)
    curves = [["helpful", "harmless"], ["mean"]] if len(tests) > 1 else [list(tests)]
    if len(tests) > 1 and scanned == COMPARISONS:
        curves = [[curve] for curve in tests]

    def paint(axes: Sequence[Any]) -> None:
        for ax, shown in zip(axes, curves, strict=True):
            _paint_panel(ax, [point for point in points if point.curve in shown], fit if "helpful" in shown else {})
            if scanned == MIXTURE and "helpful" in shown and len(tests) > 1:
                for x in (0.0, 1.0):
                    low, high = (100 * end for end in PURE_ON_THE_OTHER)
                    ax.fill_between([x - 0.03, x + 0.03], low, high, color=INK, alpha=0.4, linewidth=0)
            ax.set_ylabel("accuracy (%)" if len(shown) > 1 else f"{shown[0]} (%)")
            _legend(ax, "lower center" if scanned == MIXTURE else "best")
        _x_axis(axes[-1], scanned, sorted({point.x for point in points}))

    table: list[list[Any]] = [["model", "curve", scanned, "accuracy", "ci95_low", "ci95_high", "seeds"]]
    table += [
        [p.model, p.curve, f"{p.x:.12g}", p.accuracy, *p.ci95, " ".join(f"{seed:.6f}" for seed in p.seeds)]
        for p in points
    ]
    title = _title(scanned, points)
    return draw(question, title, _caption(scanned, points, rows, fit), paint, table, len(curves)), json


def _fit_lines(scanned: str, rows: Sequence[Json]) -> dict[str, int]:
    """Model → size, of the models that the paper's fit speaks of: those trained on helpful comparisons alone."""
    if scanned != COMPARISONS or any(row["drawn_helpful"] < row["drawn"] for row in rows):
        return {}
    return {row["model"]: row["parameters"] for row in rows if row["parameters"] > 0}


def _paint_panel(ax: Any, points: Sequence[Point], fit: Mapping[str, int]) -> None:
    """The curves of one panel: models by colour, objectives by mark and line; chance; the paper's fit, thin."""
    models = sorted({point.model for point in points})
    ax.axhline(50, color=GREY, linewidth=0.7, linestyle=(0, (2, 2)))
    for model, colour in zip(models, _COLOURS * len(models), strict=False):
        for curve in dict.fromkeys(point.curve for point in points):
            line = [point for point in points if (point.model, point.curve) == (model, curve)]
            x = np.array([point.x for point in line])
            y = np.array([point.accuracy for point in line])
            bars = np.abs(np.array([point.ci95 for point in line]).T - y)
            mark, dashes = _MARKS[curve]
            ax.errorbar(
                x,
                100 * y,
                100 * bars,
                fmt=mark,
                linestyle=dashes,
                markersize=3.2,
                color=colour,
                elinewidth=0.8,
                label=_label(model, curve, points),
            )
            for point in line:
                if len(point.seeds) > 1:
                    dots = [100 * seed for seed in point.seeds]
                    ax.plot([point.x] * len(dots), dots, "_", color=colour, markersize=7, alpha=0.7)
        if model in fit:
            ends = np.array([min(point.x for point in points), max(point.x for point in points)])
            label = f"the paper's fit, P = {_size(fit[model])}"
            said = [100 * papers_fit(float(fit[model]), float(end)) for end in ends]
            ax.plot(ends, said, color=INK if len(models) == 1 else colour, linewidth=0.7, linestyle="--", label=label)
    low = min(50.0, *(100 * min(point.ci95[0], *point.seeds) for point in points))
    high = max(52.0, *(100 * max(point.ci95[1], *point.seeds) for point in points))
    ax.set_ylim(low - 3, min(101.0, high + 3))


def _label(model: str, curve: str, points: Sequence[Point]) -> str:
    """What names a line in its panel: the mark where there are two (the colours are named below), else the colour."""
    if len({point.curve for point in points}) > 1:
        return curve if model == min(point.model for point in points) else ""
    return model if len({point.model for point in points}) > 1 else curve.removesuffix("mean")


def _legend(ax: Any, place: str) -> None:
    handles, labels = ax.get_legend_handles_labels()
    if len([label for label in labels if label]) > 1:
        box = {"frameon": True, "facecolor": "white", "edgecolor": "none", "framealpha": 0.8}
        ax.legend(handles, labels, loc=place, fontsize=6, **box)


def _x_axis(ax: Any, scanned: str, values: Sequence[float]) -> None:
    """Logarithmic where the values say so, with a tick at each value while there is room."""
    names = {COMPARISONS: "training comparisons", MIXTURE: "harmless comparisons (%)", LOSS_WEIGHT: "loss weight λ"}
    ax.set_xlabel(names.get(scanned, scanned))
    if min(values) > 0 and (scanned == COMPARISONS or max(values) / min(values) >= 8):
        ax.set_xscale("log")
    if len(values) <= 7 or scanned == MIXTURE:
        labels = [f"{100 * x:.4g}" if scanned == MIXTURE else f"{int(x):,}" if x >= 1000 else f"{x:g}" for x in values]
        ax.set_xticks(list(values), labels)
        ax.minorticks_off()


def _title(scanned: str, points: Sequence[Point]) -> str:
    """The scan's answer: for comparisons the rise, for all else where the accuracy is highest."""
    curves = {point.curve for point in points}
    curve = "mean" if "mean" in curves else min(curves, key=lambda name: name != "helpful")
    shown = [point for point in points if point.curve == curve]
    best = max(shown, key=lambda point: point.accuracy)
    mine = [point for point in shown if point.model == best.model]
    if scanned == COMPARISONS:
        first, last = mine[0], mine[-1]
        return (
            f"{curve.capitalize()} accuracy: {percent(first.accuracy)} with {int(first.x):,} comparisons, "
            f"{percent(last.accuracy)} with {int(last.x):,}"
        )
    place = f"{100 * best.x:.4g}\u202f% harmless" if scanned == MIXTURE else f"{scanned} = {best.x:g}"
    low = min(mine, key=lambda point: point.accuracy)
    return f"Highest {curve} accuracy, {percent(best.accuracy)}, at {place}; lowest {percent(low.accuracy)}"


def _caption(scanned: str, points: Sequence[Point], rows: Sequence[Json], fit: Mapping[str, int]) -> str:
    seeds = sorted({len(point.seeds) for point in points})
    several = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])
    tests = [f"{rows[0][f'{curve}_n']:,} {curve}" for curve in ("helpful", "harmless") if f"{curve}_n" in rows[0]]
    text = (
        f"{len(rows)} models, {several} {'seed' if seeds == [1] else 'seeds'} a point, all measured on the same "
        f"{' and '.join(tests)} comparisons. Bars: 95\u202f% interval from those comparisons, clustered by opening; "
        "they move whole curves. Grey: chance. "
    )
    text += (
        "" if seeds == [1] else "Short strokes: single seeds, whose scatter is that of order, draw and initial values. "
    )
    slopes = _slopes(points) if scanned == COMPARISONS else []
    text += "".join(f"{name}: {signed(100 * slope, 2)} points per e-fold. " for name, slope in slopes)
    if fit:
        text += (
            "Dashed: the paper's fit for helpful comparisons (A.1), 0.72 + 0.007 ln(P/1e11) + 0.015 ln(D/8e4), which "
            "had pretraining on votes and other data; sizes are without embeddings. "
        )
    if scanned == MIXTURE and "mean" in {point.curve for point in points}:
        low, high = PURE_ON_THE_OTHER
        text += (
            f"Boxes at the ends: the paper on the other objective, {number(100 * low, 0)} to "
            f"{number(100 * high, 0)}\u202f%, read off its figure. "
        )
    return text.strip()


def _slopes(points: Sequence[Point]) -> list[tuple[str, float]]:
    """(model and curve, slope of accuracy on ln D) of each curve with three values or more."""
    found = []
    for model, curve in dict.fromkeys((point.model, point.curve) for point in points if point.curve != "mean"):
        line = [point for point in points if (point.model, point.curve) == (model, curve)]
        if len(line) > 2:
            slope = np.polyfit(np.log([point.x for point in line]), [point.accuracy for point in line], 1)[0]
            found.append((f"{model}, {curve}", float(slope)))
    return found


def _size(parameters: int) -> str:
    """106_200_000 → "106M"."""
    for unit, letter in ((10**9, "B"), (10**6, "M"), (10**3, "k")):
        if parameters >= unit:
            return f"{parameters / unit:.3g}{letter}"
    return str(parameters)
