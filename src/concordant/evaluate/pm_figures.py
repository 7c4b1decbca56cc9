"""Figures of a preference model: calibration (Fig. 9), accuracy by turn (Fig. 8) and by score threshold (Fig. 25),
learning curve (Fig. 7).

They are drawn from ``PMEvaluation.json()`` and a run's metrics, so that a report can be made long after the run.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from concordant.evaluate.figures import (
    BLUE,
    COLLAPSED,
    GREY,
    INK,
    ORANGE,
    Figure,
    Missing,
    Question,
    draw,
    key,
    number,
    percent,
    percent_span,
    signed,
)
from concordant.quantiles import Z95
from concordant.runs import Json

CALIBRATION = Question(
    "calibration",
    "Fig. 9",
    "Does a score difference mean what it says?",
    "Helpful-only preference models were very well calibrated; those trained on helpful and harmless data together "
    "were slightly under-confident.",
    "concordant evaluate pm RUN --data FILE",
)
BY_TURN = Question(
    "accuracy-by-turn",
    "Fig. 8",
    "Is a later turn harder to judge?",
    "Accuracy was a little higher on the first turn and nearly flat after it.",
    "concordant evaluate pm RUN --data FILE",
)
BY_THRESHOLD = Question(
    "accuracy-by-threshold",
    "Fig. 25",
    "Is it less sure where both replies are good?",
    "Accuracy fell at every size as both scores had to be higher: for the 52B model from about 72\u202f% to 63\u202f% "
    "(helpful) and 52\u202f% (harmless), from a threshold of \u22124 to one of 1.",
    "concordant evaluate pm RUN --data FILE",
)
LEARNING = Question(
    "learning-curve",
    "Fig. 7",
    "Does it still learn from more comparisons?",
    "Accuracy rose about linearly with the logarithm of the number of comparisons, in one pass over the data.",
    "concordant train pm --data FILE --out DIR",
)

FEWEST_OF_A_TURN = 10
"""Comparisons below which a turn's accuracy says too little to be drawn."""

FEWEST_ABOVE = 20
"""Comparisons below which the accuracy above a threshold says too little to be drawn."""

_NOT_MEASURED = "No preference model was evaluated; run 'concordant evaluate pm RUN --data FILE'."


def calibration_figure(pm: Json | None) -> Figure | Missing:
    """Accuracy against score difference, beside 1 / (1 + e^−Δ)."""
    if pm is None:
        return Missing(CALIBRATION, _NOT_MEASURED)
    bins, excess, ci95 = pm["calibration"]["bins"], pm["calibration"]["excess"], pm["calibration"]["excess_ci95"]
    if pm["collapsed"]:
        return Missing(
            CALIBRATION, "The model gives both replies the same score everywhere; nothing can be calibrated."
        )
    points = f"{100 * abs(excess):.1f} points"
    if ci95[0] > 0:
        title = f"Under-confident: right {points} more often than its scores say"
    elif ci95[1] < 0:
        title = f"Over-confident: right {points} less often than its scores say"
    else:
        title = f"Calibrated as far as {pm['n']:,} comparisons can tell: off by {signed(100 * excess, 1)} points"
    caption = (
        f"n = {pm['n']:,} comparisons in {len(bins)} bins of equal count. Bars are 95\u202f% intervals, clustered by "
        f"opening. Observed minus predicted: {signed(100 * excess, 1)} points ({signed(100 * ci95[0], 1)} to "
        f"{signed(100 * ci95[1], 1)}). Expected calibration error {percent(pm['ece'])}. Thin line: 1/(1+exp(\u2212Δ))."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        right = max(bin["gap"] for bin in bins) * 1.08
        x = np.linspace(0, right, 100)
        ax.plot(x, 100 / (1 + np.exp(-x)), color=INK, linewidth=0.7)
        y = np.array([bin["observed"] for bin in bins])
        bars = np.abs(np.array([bin["ci95"] for bin in bins]).T - y)
        ax.errorbar([bin["gap"] for bin in bins], 100 * y, 100 * bars, fmt="o", color=BLUE, elinewidth=0.9)
        key(ax, 1, "thin line: 1/(1+exp(\u2212Δ))", INK)
        key(ax, 0, "● this model", BLUE)
        ax.set(xlabel="score difference |Δ|", ylabel="chosen reply scored higher (%)", xlim=(0, right))
        ax.set_ylim(min(45.0, 100 * min(bin["ci95"][0] for bin in bins) - 3), 101)

    table = [["score_difference", "predicted", "observed", "ci95_low", "ci95_high", "n"]]
    table += [[bin["gap"], bin["predicted"], bin["observed"], *bin["ci95"], bin["n"]] for bin in bins]
    return draw(CALIBRATION, title, caption, paint, table)


def by_turn_figure(pm: Json | None) -> Figure | Missing:
    """Accuracy by the number of the judged assistant turn."""
    if pm is None:
        return Missing(BY_TURN, _NOT_MEASURED)
    every = {int(turn): part for turn, part in pm["by_turn"].items()}
    turns = {turn: part for turn, part in every.items() if part["n"] >= FEWEST_OF_A_TURN}
    if len(turns) < 2:
        return Missing(BY_TURN, f"At least two turns need {FEWEST_OF_A_TURN} comparisons each; {len(turns)} has them.")
    first = min(turns)
    later_n = sum(part["n"] for turn, part in turns.items() if turn != first)
    later = sum(part["n"] * part["accuracy"] for turn, part in turns.items() if turn != first) / later_n
    change = later - turns[first]["accuracy"]
    error = math.hypot(_error(turns[first]), math.sqrt(later * (1 - later) / later_n))
    numbers = f"{percent(turns[first]['accuracy'], 0)} on turn {first}, {percent(later, 0)} later"
    if abs(change) < Z95 * error:
        title = f"No clear change with the turn: {numbers}"
    else:
        title = f"Later turns are {'harder' if change < 0 else 'easier'} to judge: {numbers}"
    caption = (
        f"n = {pm['n']:,} comparisons; their number stands below each turn. Bars are 95\u202f% intervals. "
        f"Dashed: all turns together, {percent(pm['accuracy'])} ({percent_span(pm['ci95'])})."
    )
    if len(turns) < len(every):
        rare = ", ".join(str(turn) for turn in sorted(every.keys() - turns.keys()))
        caption += f" Not drawn, with fewer than {FEWEST_OF_A_TURN} comparisons: turn {rare}."
    if pm["collapsed"]:
        caption += COLLAPSED

    def paint(axes: Sequence[Any]) -> None:
        ax, numbers = axes[0], sorted(turns)
        y = np.array([turns[turn]["accuracy"] for turn in numbers])
        bars = np.abs(np.array([turns[turn]["ci95"] for turn in numbers]).T - y)
        places = np.arange(len(numbers))
        ax.axhline(100 * pm["accuracy"], color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        ax.axhline(50, color=GREY, linewidth=0.5, linestyle=(0, (2, 2)))
        ax.annotate("chance", (-0.48, 50), (0, 2), textcoords="offset points", color=GREY)
        ax.errorbar(places, 100 * y, 100 * bars, fmt="o", color=BLUE, elinewidth=0.9)
        ax.set_xticks(places, [f"{turn}\n{turns[turn]['n']:,}" for turn in numbers])
        ax.set(xlabel="assistant turn, and comparisons", ylabel="accuracy (%)", xlim=(-0.5, len(numbers) - 0.5))
        ax.set_ylim(max(0.0, min(42.0, 100 * (y - bars[0]).min() - 3)), min(101.0, 100 * (y + bars[1]).max() + 5))

    table: list[list[Any]] = [["turn", "accuracy", "ci95_low", "ci95_high", "n"]]
    table += [[turn, every[turn]["accuracy"], *every[turn]["ci95"], every[turn]["n"]] for turn in sorted(every)]
    return draw(BY_TURN, title, caption, paint, table)


def by_threshold_figure(pm: Json | None) -> Figure | Missing:
    """Accuracy of the comparisons whose two scores both reach a threshold, and how many those are."""
    if pm is None:
        return Missing(BY_THRESHOLD, _NOT_MEASURED)
    if "by_threshold" not in pm:
        return Missing(BY_THRESHOLD, "It was evaluated without thresholds; run 'concordant evaluate pm' again.")
    every, sd = pm["by_threshold"]["points"], pm["by_threshold"]["sd"]
    points = [point for point in every if point["n"] >= FEWEST_ABOVE]
    if pm["collapsed"] or len(points) < 2:
        why = "its scores are all alike" if pm["collapsed"] else f"they need {FEWEST_ABOVE} comparisons each"
        return Missing(BY_THRESHOLD, f"No two thresholds can be compared: {why}.")
    mean = number(pm["by_threshold"]["mean"], 2)
    caption = (
        f"n = {points[0]['n']:,} comparisons at the left end, {points[-1]['n']:,} at the right. A point holds those of "
        f"which both replies score at least so much, the model's mean score on this data ({mean}) taken off; steps of "
        f"half a standard deviation ({sd:.2f}). Bars are 95\u202f% intervals, clustered by opening; the points share "
        "comparisons."
    )

    def paint(axes: Sequence[Any]) -> None:
        x = np.array([point["score"] for point in points])
        y = np.array([point["accuracy"] for point in points])
        bars = np.abs(np.array([point["ci95"] for point in points]).T - y)
        axes[0].axhline(50, color=GREY, linewidth=0.5, linestyle=(0, (2, 2)))
        axes[0].errorbar(x, 100 * y, 100 * bars, fmt="o-", color=BLUE, elinewidth=0.9)
        axes[0].set(ylabel="accuracy (%)")
        axes[1].plot(x, [100 * point["n"] / pm["n"] for point in points], "s-", color=ORANGE)
        axes[1].set(xlabel="both scores at least (mean taken off)", ylabel="of all (%)", ylim=(0, 104))

    table: list[list[Any]] = [["threshold", "standard_deviations", "accuracy", "ci95_low", "ci95_high", "n"]]
    table += [[one["score"], one["sds"], one["accuracy"], *one["ci95"], one["n"]] for one in every]
    return draw(BY_THRESHOLD, _threshold_title(pm, points), caption, paint, table, panels=2)


def _threshold_title(pm: Json, points: Sequence[Json]) -> str:
    """The first threshold that leaves at most half of the comparisons, or the last one, against all the others."""
    above = next((point for point in points if 2 * point["n"] <= pm["n"]), points[-1])
    others = pm["n"] - above["n"]
    if not others:
        return f"Every comparison lies above every threshold: {percent(above['accuracy'], 0)}"
    rest = min(1.0, max(0.0, (pm["n"] * pm["accuracy"] - above["n"] * above["accuracy"]) / others))
    error = math.hypot(_error(above), math.sqrt(rest * (1 - rest) / others))
    change = above["accuracy"] - rest
    if abs(change) < Z95 * error:
        verdict = "No clear change where both replies score high"
    else:
        verdict = f"{'Less' if change < 0 else 'More'} often right where both replies score high"
    return f"{verdict}: {percent(above['accuracy'], 0)}, elsewhere {percent(rest, 0)}"


def _error(part: Json) -> float:
    """Standard error of a share, from its interval."""
    return float(part["ci95"][1] - part["ci95"][0]) / (2 * Z95)


def learning_figure(rows: Sequence[Json]) -> Figure | Missing:
    """Training loss, before each step's update, against the comparisons seen so far: in one epoch each is new."""
    used = [row for row in rows if row.get("loss") is not None and row.get("comparisons") is not None]
    if len(used) < 10:
        return Missing(LEARNING, f"A curve needs at least 10 training steps; this run logged {len(used)}.")
    seen = np.array([float(row["comparisons"]) for row in used])
    loss = np.array([float(row["loss"]) for row in used])
    part = max(3, len(used) // 10)
    edges = np.unique(np.linspace(0, len(used), min(12, len(used) // 5) + 1).astype(int))
    blocks = [(seen[a:b].mean(), *_mean_and_bar(loss[a:b])) for a, b in pairwise(edges)]
    before, after = float(loss[:part].mean()), float(loss[-part:].mean())
    verb = "fell" if after < before else "did not fall:"
    title = f"The loss {verb} from {before:.3f} to {after:.3f} in {int(seen[-1]):,} comparisons"
    caption = (
        f"n = {len(used):,} steps. Loss of comparisons not yet trained on. Dots: single steps; squares: means of "
        f"neighbouring steps with 95\u202f% intervals. The title compares the first and the last {part} steps. "
        "Dashed: chance, ln 2 = 0.693."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        ax.axhline(math.log(2), color=INK, linewidth=0.7, linestyle=(0, (4, 3)))
        ax.annotate("chance, ln 2", (seen[-1], math.log(2)), (0, 2), textcoords="offset points", ha="right")
        ax.plot(seen, loss, "o", color=BLUE, markersize=2.2, alpha=0.45, markeredgewidth=0)
        x, y, bar = np.array(blocks).T
        ax.errorbar(x, y, bar, fmt="s-", color=ORANGE, elinewidth=0.9, markersize=3.5)
        ax.set(xlabel="training comparisons", ylabel="loss (nats)", xlim=(0, seen[-1] * 1.02))
        low, high = np.percentile(loss, [1, 99])
        ax.set_ylim(min(low, (y - bar).min()) - 0.02, max(high, (y + bar).max(), 0.72) + 0.03)

    table = [("comparisons", "loss"), *zip(seen.tolist(), loss.tolist(), strict=True)]
    return draw(LEARNING, title, caption, paint, table)


def _mean_and_bar(values: Any) -> tuple[float, float]:
    """Mean, and half its 95 % interval."""
    return float(values.mean()), Z95 * float(values.std(ddof=1)) / math.sqrt(len(values))
