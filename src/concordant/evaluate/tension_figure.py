"""The figure of the tension between objectives (Fig. 14): scores of the data, and a policy's place among them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, GREY, ORANGE, Figure, Question, draw, key, number, percent
from concordant.runs import Json

TENSION = Question(
    "tension",
    "Fig. 14",
    "Was the policy driven as far on one objective as on the other?",
    "Its harmless scores lay at the upper tail of the harmless comparisons, its helpful ones amid the helpful ones.",
    "concordant evaluate tension RUN --data helpful=FILE harmless=FILE --policy RUN --out DIR",
)
_COLOURS = {"helpful": BLUE, "harmless": ORANGE}
_DASHES: dict[str, Any] = {"helpful": "-", "harmless": (0, (4, 2))}


def tension_figure(tension: Json) -> Figure:
    """Cumulative shares of the data's replies by score, and the policy's mean before and after."""
    parts = tension["objectives"]
    policies = {name: part["policy"] for name, part in parts.items() if part["policy"]}

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        for place, (name, part) in enumerate(parts.items()):
            shares, scores = np.array(part["quantiles"]).T
            ax.plot(scores, 100 * shares, color=_COLOURS[name], linestyle=_DASHES[name])
            key(ax, 1 - place, f"{'—' if name == 'helpful' else '- -'} {name} data", _COLOURS[name])
            policy = part["policy"]
            if policy:
                moved = [policy[moment]["mean"] for moment in ("before", "after")]
                heights = [100 * policy[moment]["above_data"] for moment in ("before", "after")]
                ax.annotate("", (moved[1], heights[1]), (moved[0], heights[0]), arrowprops=_arrow(name))
                ax.plot(moved[:1], heights[:1], "o", color="white", markeredgecolor=_COLOURS[name])
                ax.plot(moved[1:], heights[1:], "o" if name == "helpful" else "s", color=_COLOURS[name])
        if policies:
            key(ax, 2, "○ policy before, filled: after", GREY)
        ax.set(xlabel="score (mean of the data taken off)", ylabel="data scoring lower (%)", ylim=(-2, 102))

    table: list[list[Any]] = [["objective", "what", "share_of_data_below", "score"]]
    for name, part in parts.items():
        table += [[name, "data", share, score] for share, score in part["quantiles"]]
        if part["policy"]:
            table += [
                [name, f"policy {moment}", part["policy"][moment]["above_data"], part["policy"][moment]["mean"]]
                for moment in ("before", "after")
            ]
    return draw(TENSION, _title(parts, policies), _caption(parts, policies), paint, table)


def _arrow(name: str) -> dict[str, Any]:
    return {"arrowstyle": "-", "color": _COLOURS[name], "linewidth": 0.8}


def _title(parts: Json, policies: Json) -> str:
    if not policies:
        gap = parts["helpful"]["mean"] - parts["harmless"]["mean"]
        higher = "helpful" if gap >= 0 else "harmless"
        return f"Replies of the {higher} data score {number(abs(gap), 2)} higher; no policy was given"
    said = [f"{percent(policy['after']['above_data'], 0)} of the {name}" for name, policy in policies.items()]
    return f"After training, replies score above {' and '.join(said)} data"


def _caption(parts: Json, policies: Json) -> str:
    """n on each side, and what each mark is."""
    data = "; ".join(f"{name}: {part['comparisons']:,} comparisons, both replies" for name, part in parts.items())
    caption = f"Lines: {data}. Share of replies below each score, the mean over all taken off."
    for name, policy in policies.items():
        after, before = policy["after"], policy["before"]
        caption += (
            f" {name.capitalize()}: the policy's replies to {after['prompts']:,} prompts lie above "
            f"{percent(before['above_data'])} of the data before and {percent(after['above_data'])}"
            f"{_error(after['above_data_se'])} after {policy['last_step']:,} updates."
        )
    return caption


def _error(share: float | None) -> str:
    """A standard error in brackets; "" where one prompt leaves it unknown."""
    return "" if share is None or not math.isfinite(share) else f" (standard error {100 * share:.1f})"
