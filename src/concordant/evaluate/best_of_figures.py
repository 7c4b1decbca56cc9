"""The figure of best-of-k: score against √KL, with the updates of policies on the same axes (Fig. 13; §4.3).

Rejection sampling is the yardstick: what a policy gains at some KL can be had at that KL without training. Its points
have errors over prompts; those of a policy are its training's own. The CSV begins with the columns of the policy's
figure (``root_kl, score``), so that the two files can be laid over each other.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, GREEN, ORANGE, Figure, Missing, Question, draw, key, number
from concordant.quantiles import Z95
from concordant.runs import Json

BEST_OF = Question(
    "best-of-k-against-root-kl",
    "Fig. 13, 36",
    "What does the best of k replies gain, and at what divergence?",
    "Score was about linear in √KL for policies; the best of 64 replies lies at √log 64 = 2.04. Online policies were "
    "preferred about as often as the best of 64.",
    "concordant evaluate best-of PROMPTS --pm RUN --out DIR",
)


def best_of_figure(result: Json, policies: Mapping[str, Sequence[Json]] | None = None) -> Figure | Missing:
    """Mean score of the best of k against √KL.

    Args:
        result: of ``sample_and_score``.
        policies: name → rows of a policy run's metrics, with ``kl`` and ``score`` by the same preference model.
    """
    points = result["points"]
    if len(points) < 2:
        return Missing(BEST_OF, "One reply a prompt has no best; sample more with --n.")
    runs = {name: _on_the_axes(rows) for name, rows in (policies or {}).items()}
    root, score = (np.array([point[name] for point in points]) for name in ("root_kl", "score"))
    tested = "test_score" in points[0]
    labelled = [point for point in points if (point["k"] & (point["k"] - 1)) == 0]
    n, last = result["n"], points[-1]

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        half = Z95 * _errors(points, "score_se")
        ax.fill_between(root, score - half, score + half, color=BLUE, alpha=0.18, linewidth=0)
        ax.plot(root, score, "-", color=BLUE)
        ax.plot([point["root_kl"] for point in labelled], [point["score"] for point in labelled], "o", color=BLUE)
        for point in labelled:
            ax.annotate(str(point["k"]), (point["root_kl"], point["score"]), (0, 5), textcoords="offset points",
                        ha="center", color=BLUE, fontsize=7)  # fmt: skip
        if tested:
            judged, bar = np.array([point["test_score"] for point in points]), Z95 * _errors(points, "test_score_se")
            ax.fill_between(root, judged - bar, judged + bar, color=GREEN, alpha=0.15, linewidth=0)
            ax.plot(root, judged, "--", color=GREEN)
        for found in runs.values():
            ax.plot([x for x, _ in found], [y for _, y in found], "D", color=ORANGE, markersize=3, alpha=0.8)
        ax.set(xlabel="√KL from the first policy (√nats per reply)", ylabel="mean score")
        _keys(ax, tested, list(runs))

    title = (
        f"The best of {n} gains {number(last['gain'], 2)}{_plus_minus(last['gain_se'])} at {number(last['root_kl'], 2)}"
        " √nats"
    )
    names = ["root_kl", "score", "score_se", "k", "kl", *(["test_score", "test_score_se"] if tested else [])]
    table: list[list[Any]] = [[*names, "what"]]
    table += [[*(point[name] for name in names), "best of k"] for point in points]
    for name, found in runs.items():
        table += [[x, y, *[""] * (len(names) - 2), name] for x, y in found]
    return draw(BEST_OF, title, _caption(result, tested, runs), paint, table)


def _caption(result: Json, tested: bool, runs: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    text = (
        f"n = {result['prompts']:,} prompts with {result['n']} replies each; every k is averaged over all subsets of "
        "them, so that neighbouring k share their noise. Band: 95\u202f% interval over prompts. √KL of the best of k: "
        "log k − (k−1)/k, an upper bound where scores tie. Numbers beside the points are k."
    )
    if tested:
        text += " Dashed: the chosen replies as another preference model scores them, which had no say in the choice."
    if runs:
        text += (
            f" Diamonds: updates of {', '.join(runs)}, each on its own training prompts and reply limit; KL estimated "
            "from its samples, below 0 drawn at 0."
        )
    return text


def _on_the_axes(rows: Sequence[Json]) -> list[tuple[float, float]]:
    """(√KL, score) of a policy's updates."""
    return [(max(float(row["kl"]), 0.0) ** 0.5, float(row["score"])) for row in rows if row.get("kl") is not None]


def _errors(points: Sequence[Json], name: str) -> Any:
    """Standard errors; none to draw where a single opening leaves them unknown."""
    return np.array([point[name] or 0.0 for point in points])


def _plus_minus(error: float | None) -> str:
    return "" if error is None else f" ± {number(Z95 * error, 2)}"


def _keys(ax: Any, tested: bool, runs: Sequence[str]) -> None:
    lines = [("● best of k", BLUE)]
    lines += [("╌ the same, by another model", GREEN)] if tested else []
    lines += [("◆ policy" if len(runs) == 1 else "◆ policies", ORANGE)] if runs else []
    for place, (text, color) in enumerate(reversed(lines)):
        key(ax, place, text, color)
