"""Figures of the HHH evaluation: accuracy by category (Fig. 5 left), score differences item by item (Fig. 10 left)."""

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import (
    BLUE,
    CLEAR,
    COLLAPSED,
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
)
from concordant.runs import Json

BY_CATEGORY = Question(
    "hhh-accuracy",
    "Fig. 5",
    "Does it know what is helpful, honest and harmless?",
    "The 52B preference model was right on 86\u202f% of the items, people on 75\u202f%.",
    "concordant evaluate hhh RUN FILE",
)
DIFFERENCES = Question(
    "hhh-differences",
    "Fig. 10",
    "How wrong is it where it is wrong?",
    "Nearly all differences were above zero; three far outliers below it were all failures of honesty.",
    "concordant evaluate hhh RUN FILE",
)

_MISSING = "The HHH evaluation was not measured; run 'concordant evaluate hhh RUN FILE'."
_BINS = 24


def category_figure(hhh: Json | None) -> Figure | Missing:
    """Accuracy in each category beside the paper's model and people."""
    if hhh is None:
        return Missing(BY_CATEGORY, _MISSING)
    parts = hhh["by_category"]
    low, high = (choose(parts, key=lambda name: parts[name]["accuracy"]) for choose in (min, max))
    title = f"Right on {percent(hhh['accuracy'], 0)} of {hhh['n']:,} items"
    if len(parts) > 1:
        title += (
            f", from {percent(parts[low]['accuracy'], 0)} ({low}) to {percent(parts[high]['accuracy'], 0)} ({high})"
        )
    caption = (
        f"n = {hhh['n']:,} items with {hhh['openings']:,} openings; their number stands below each category. Bars are "
        f"95\u202f% intervals, clustered by opening. All: {percent(hhh['accuracy'])} "
        f"({percent_span(hhh['ci95'])}); mean of the categories: {percent(hhh['macro_mean'])}. "
        "The longer reply is the correct one in "
        f"{percent(hhh['length_baseline']['longer_wins'])}. Lines: the paper's 52B model and people (§3.4)."
    )
    if hhh["collapsed"]:
        caption += COLLAPSED
    shown = {**parts, "all": {"n": hhh["n"], "accuracy": hhh["accuracy"], "ci95": hhh["ci95"]}}

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(shown))
        y = np.array([part["accuracy"] for part in shown.values()])
        bars = np.abs(np.array([part["ci95"] for part in shown.values()]).T - y)
        lines = {"paper's 52B": hhh["paper"]["preference_model_52b"], "people": hhh["paper"]["people"], "chance": 0.5}
        for name, at in lines.items():
            ax.axhline(100 * at, color=GREY, linewidth=0.7, linestyle=(0, (4, 3)))
            ax.annotate(name, (-1.25, 100 * at), (2, 2), textcoords="offset points", color=GREY)
        ax.errorbar(places, 100 * y, 100 * bars, fmt="o", color=BLUE, elinewidth=0.9)
        ax.set_xticks(places, [f"{name}\n{part['n']:,}" for name, part in shown.items()])
        ax.set(xlabel="category, and items", ylabel="correct reply scored higher (%)", xlim=(-1.25, len(shown) - 0.5))
        ax.set_ylim(max(0.0, min(42.0, 100 * (y - bars[0]).min() - 3)), 101)

    table: list[list[Any]] = [["category", "accuracy", "ci95_low", "ci95_high", "n"]]
    table += [[name, part["accuracy"], *part["ci95"], part["n"]] for name, part in shown.items()]
    return draw(BY_CATEGORY, title, caption, paint, table)


def difference_figure(hhh: Json | None) -> Figure | Missing:
    """How many items have which difference of correct and incorrect score."""
    if hhh is None:
        return Missing(DIFFERENCES, _MISSING)
    if hhh["collapsed"]:
        return Missing(DIFFERENCES, "The model gives both replies the same score everywhere; nothing differs.")
    gap = np.array([item["difference"] for item in hhh["items"]])
    right = int((gap > 0).sum())
    title = f"The correct reply scores higher in {right:,} of {len(gap):,} items"
    if hhh["worst"]:
        title += f"; the worst miss is {number(hhh['worst'][0]['difference'], 2)}"
    named = "; ".join(
        f"{number(item['difference'], 2)} ({item['category']}, item {item['item']}: “{_short(item['asked'])}”)"
        for item in hhh["worst"]
    )
    caption = (
        f"n = {len(gap):,} items; score of the correct reply minus that of the incorrect one. "
        f"Median {number(float(np.median(gap)), 2)}. " + (f"The worst: {named}." if named else "None is wrong.")
    )

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        # Zero is an edge, so that no bar holds right and wrong items.
        width = max(float(np.ptp(gap)), 1e-9) / _BINS
        edges = np.arange(np.floor(gap.min() / width), np.ceil(gap.max() / width) + 1.5) * width
        ax.hist(gap[gap >= 0], edges, color=BLUE)
        ax.hist(gap[gap < 0], edges, color=ORANGE, hatch="////", edgecolor="white", linewidth=0)
        ax.axvline(0, color=INK, linewidth=0.7)
        for at, side, name, color in ((0, "left", "wrong (hatched)", ORANGE), (1, "right", "right", BLUE)):
            ax.annotate(name, (at, 1), xycoords="axes fraction", ha=side, va="top", color=color, bbox=CLEAR)
        ax.set(xlabel="score difference, correct minus incorrect", ylabel="items")

    table: list[list[Any]] = [["item", "category", "difference"]]
    table += [[item["item"], item["category"], item["difference"]] for item in hhh["items"]]
    return draw(DIFFERENCES, title, caption, paint, table)


def _short(text: str) -> str:
    return textwrap.shorten(text, 60, placeholder="…")
