"""The figure of the data's shift (Fig. 15 left): one density of scores for each tranche."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, GREEN, ORANGE, Figure, Question, draw, key, percent, signed
from concordant.quantiles import Z95
from concordant.runs import Json

SHIFT = Question(
    "score-by-tranche",
    "Fig. 15 left",
    "Did the replies that people compare get better?",
    "From base over rejection sampling to online data the scores of the online preference model moved up, and their "
    "upper tail filled.",
    "concordant evaluate shift RUN --data base=FILE online=FILE --out DIR",
)
_COLOURS = (BLUE, ORANGE, GREEN, "#CC79A7", "#56B4E9", "#E69F00")
_DASHES: tuple[Any, ...] = ("-", (0, (4, 2)), (0, (1, 1)), (0, (6, 1, 1, 1)))


def shift_figure(shift: Json) -> Figure:
    """Densities on common bins, and each tranche's mean as a tick below."""
    rows, edges = shift["tranches"], np.array(shift["edges"])
    first = rows[0]

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        for place, row in enumerate(rows):
            colour = _COLOURS[place % len(_COLOURS)]
            heights = np.array(row["density"])
            ax.stairs(heights, edges, color=colour, linestyle=_DASHES[place % len(_DASHES)], linewidth=1.1)
            ax.plot([row["mean"]], [0], "|", color=colour, markersize=9, clip_on=False)
            key(ax, len(rows) - 1 - place, row["name"], colour)
        ax.set(xlabel=f"score (mean of {first['name']} taken off)", ylabel="density", ylim=(0, None))

    title = "; ".join(_moved(row, first) for row in rows[1:])
    caption = "; ".join(f"{row['name']}: {row['comparisons']:,} comparisons, both replies" for row in rows)
    caption += ". Strokes on the axis: means. " + " ".join(
        f"{percent(row['upper'], 0)} of {row['name']} above the 90\u202f% quantile of {first['name']}."
        for row in rows[1:]
    )
    table: list[list[Any]] = [["tranche", "bin_low", "bin_high", "density"]]
    for row in rows:
        table += [[row["name"], *edge] for edge in zip(edges[:-1], edges[1:], row["density"], strict=True)]
    return draw(SHIFT, title, caption, paint, table)


def _moved(row: Json, first: Json) -> str:
    half = Z95 * row["moved_se"]
    return f"{row['name']} scores {signed(row['moved'], 2)} ± {half:.2f} against {first['name']}"
