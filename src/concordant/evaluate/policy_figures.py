"""Figures of a policy run: score against √KL with its line (Fig. 4, 13), score and KL through training (Fig. 4 right).

Where a test PM looked on, its scores stand beside those of the train PM, and the point where the two part is marked.
Left out: several policy sizes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from concordant.errors import UserError
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
    key,
    number,
    sentence,
    signed,
    span,
)
from concordant.evaluate.frontier import Frontier, fit_frontier
from concordant.parting import WINDOW, Parting, find_parting
from concordant.quantiles import Z95
from concordant.runs import Json

FRONTIER = Question(
    "score-against-root-kl",
    "Fig. 4 left, 13",
    "What does a step away from the first policy buy?",
    "Reward was about linear in √KL through most of training. The paper gives no slope.",
    "concordant train policy --pm RUN --prompts FILE --out DIR",
)
PARTING = Question(
    "train-and-test-score",
    "Fig. 4 left, 13",
    "Does the score that the policy is trained on still mean what it says?",
    "Scores of the training and the test preference model agreed early and then parted, the test score below; with 52B "
    "models after about 150,000 samples.",
    "concordant train policy --pm RUN --test-pm RUN --prompts FILE --out DIR",
)
CLIMB = Question(
    "score-and-kl",
    "Fig. 4 right",
    "How did score and divergence move in training?",
    "Scores rose steadily; those of the training and the test preference model agreed to about 150,000 samples.",
    "concordant train policy --pm RUN --prompts FILE --out DIR",
)


def frontier_figure(rows: Sequence[Json]) -> Figure | Missing:
    """Mean score of each update's replies against √KL."""
    if not rows:
        return Missing(FRONTIER, "No policy was trained; run 'concordant train policy'.")
    try:
        line = fit_frontier(rows)
    except UserError as error:
        return Missing(FRONTIER, sentence(str(error)))
    title = _frontier_title(line)
    caption = (
        f"n = {len(line.score)} updates. Line: least squares on the {line.early} early updates (√KL up to "
        f"{number(line.early_kl**0.5, 2)}), slope {number(line.slope, 2)} ({span(line.slope_ci95, 2)}) per √nat, "
        f"R² = {line.r2:.2f}; dashed where it is continued. Successive updates depend on one another, so the "
        "interval is somewhat too narrow."
    )
    if line.later_gap is not None and line.later_gap_ci95 is not None:
        caption += f" Later updates minus the line: {number(line.later_gap, 2)} ({span(line.later_gap_ci95, 2)})."
    if line.clipped:
        caption += f" Estimates of KL below 0 ({line.clipped}) are drawn at 0."

    def paint(axes: Sequence[Any]) -> None:
        ax, x, y = axes[0], np.array(line.root_kl), np.array(line.score)
        early = x <= line.early_kl**0.5 + 1e-12
        edge = line.early_kl**0.5
        ends = np.array([0.0, edge, max(float(x.max()), edge) * 1.04])
        on_line = line.intercept + line.slope * ends
        ax.plot(ends[:2], on_line[:2], color=INK, linewidth=0.8)
        ax.plot(ends[1:], on_line[1:], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        ax.plot(x[early], y[early], "o", color=BLUE)
        ax.plot(x[~early], y[~early], "D", color=ORANGE, markersize=3.8)
        key(ax, 1, "● fitted updates", BLUE)
        key(ax, 0, "◆ later updates", ORANGE)
        ax.set(
            xlabel="√KL from the first policy (√nats per reply)", ylabel="mean score", xlim=(-0.02 * ends[2], ends[2])
        )

    table = [("root_kl", "score"), *zip(line.root_kl, line.score, strict=True)]
    return draw(FRONTIER, title, caption, paint, table)


def _frontier_title(line: Frontier) -> str:
    slope = f"{number(line.slope, 2)} per √nat ({span(line.slope_ci95, 2)})"
    if line.slope_ci95[0] <= 0 <= line.slope_ci95[1]:
        return f"No clear rise of the score with √KL: {slope}"
    if line.slope < 0:
        return f"The score falls with √KL: {slope}"
    if line.later_gap_ci95 is None:
        return f"The score rises {slope}"
    if line.later_gap_ci95[1] < 0:
        return f"The score rises {slope}, then falls short of the line"
    if line.later_gap_ci95[0] > 0:
        return f"The score rises {slope}, then faster"
    return f"The score rises {slope} and stays on the line"


def parting_figure(rows: Sequence[Json]) -> Figure | Missing:
    """How far train and test score have risen from where they began, against √KL; marked where they part.

    Each model's own start is its zero: the scores of two models have none in common.
    """
    rows = [row for row in rows if row.get("test_score") is not None]
    if len(rows) < WINDOW:
        return Missing(PARTING, "No test preference model scored the replies; use 'concordant train policy --test-pm'.")
    root = np.array([max(float(row["kl"]), 0.0) ** 0.5 for row in rows])
    rises = [_rise(rows, name) for name in ("score", "test_score")]
    parting = find_parting(rows)
    bars = Z95 * np.array([float(row["test_score_se"]) for row in rows])
    caption = (
        f"n = {len(rows)} updates, the same replies for both models. Each model's mean over the first {WINDOW} updates "
        f"is its zero. Lines: means over {WINDOW} updates. Bars: 95\u202f% interval over prompts, of the test score. "
        "Parted: the test line lies further below its highest point than chance among all its points allows, while "
        "the train line has gone on rising."
    )

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        ax.errorbar(root, rises[1], yerr=bars, fmt="none", ecolor=ORANGE, alpha=0.25, linewidth=0.8)
        for rise, mark, color in ((rises[0], "o", BLUE), (rises[1], "D", ORANGE)):
            ax.plot(root, rise, mark, color=color, markersize=2.6, alpha=0.5)
            ax.plot(_moving(root), _moving(rise), color=color)
        if parting is not None:
            ax.axvline(parting.root_kl, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
            ax.annotate("parted", (parting.root_kl, 1), (3, -8), ("data", "axes fraction"), "offset points", fontsize=7)
        key(ax, 1, "● train PM", BLUE)
        key(ax, 0, "◆ test PM", ORANGE)
        ax.set(xlabel="√KL from the first policy (√nats per reply)", ylabel="rise of the mean score")

    table: list[tuple[Any, ...]] = [("samples", "root_kl", "score", "test_score", "test_score_se")]
    table += [
        (row["samples"], x, row["score"], row["test_score"], row["test_score_se"])
        for row, x in zip(rows, root.tolist(), strict=True)
    ]
    return draw(PARTING, _parting_title(rises, parting), caption, paint, table)


def _rise(rows: Sequence[Json], name: str) -> NDArray[np.float64]:
    values = np.array([float(row[name]) for row in rows])
    return np.asarray(values - values[:WINDOW].mean())


def _moving(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Means over WINDOW neighbours."""
    return np.asarray(np.convolve(values, np.full(WINDOW, 1 / WINDOW), mode="valid"), dtype=np.float64)


def _parting_title(rises: Sequence[NDArray[np.float64]], parting: Parting | None) -> str:
    if parting is not None:
        return (
            f"The two models part at √KL = {number(parting.root_kl, 2)}, after {parting.samples:,} replies: the test "
            f"score falls by {number(parting.fall, 2)}, the train score rises by {number(parting.rise, 2)}"
        )
    train, test = (float(rise[-WINDOW:].mean()) for rise in rises)
    return f"The two models have not parted: the train score moved by {signed(train, 2)}, the test score by " + signed(
        test, 2
    )


def climb_figure(rows: Sequence[Json]) -> Figure | Missing:
    """Score and KL against the samples drawn so far."""
    used = [row for row in rows if row.get("score") is not None and row.get("kl") is not None]
    if len(used) < 2:
        return Missing(
            CLIMB, "No policy was trained; run 'concordant train policy'." if not rows else "One update only."
        )
    samples = np.array([float(row["samples"]) for row in used])
    score = np.array([float(row["score"]) for row in used])
    bar = Z95 * np.array([float(row.get("score_se") or 0.0) for row in used])
    kl = np.array([float(row["kl"]) for row in used])
    test = np.array([float(row.get("test_score", np.nan)) for row in used])
    gained, bars = score[-1] - score[0], float(np.hypot(bar[0], bar[-1]))
    verb = "rose" if gained > bars else "fell" if gained < -bars else "did not clearly move:"
    title = f"The score {verb} from {number(score[0], 2)} to {number(score[-1], 2)} at a KL of {number(kl[-1], 1)} nats"
    caption = (
        f"n = {len(used)} updates, {int(samples[-1]):,} replies. Band: 95\u202f% interval of an update's mean score "
        "(of replies to training prompts, which differ from update to update). KL: mean over replies of the summed "
        "log-ratio to the first policy; it is an estimate and can fall below 0."
    )

    parting = find_parting(used)
    if parting is not None:
        caption += f" Dashed: the two models part, after {parting.samples:,} replies."

    def paint(axes: Sequence[Any]) -> None:
        top, bottom = axes
        top.fill_between(samples, score - bar, score + bar, color=BLUE, alpha=0.18, linewidth=0)
        top.plot(samples, score, "o-", color=BLUE, markersize=3)
        top.set_ylabel("mean score")
        if np.isfinite(test).any():
            top.plot(samples, test, "D-", color=ORANGE, markersize=2.6)
            key(top, 1, "● train PM", BLUE)
            key(top, 0, "◆ test PM", ORANGE)
        if parting is not None:
            for ax in axes:
                ax.axvline(parting.samples, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        bottom.plot(samples, kl, "s-", color=GREEN, markersize=3)
        bottom.axhline(0, color=GREY, linewidth=0.5)
        bottom.set(xlabel="training samples (replies)", ylabel="KL (nats)")

    table: list[list[Any]] = [["samples", "score", "score_ci95_half", "kl", "test_score"]]
    columns = (samples.tolist(), score.tolist(), bar.tolist(), kl.tolist(), [row.get("test_score", "") for row in used])
    table += [list(row) for row in zip(*columns, strict=True)]
    return draw(CLIMB, title, caption, paint, table, panels=2)
