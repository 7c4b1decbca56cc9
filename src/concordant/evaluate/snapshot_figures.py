"""The figure of promises and votes (Fig. 15 right, 35): four measurements of every snapshot, on one axis of Elo."""

import math
from collections.abc import Sequence
from typing import Any

from concordant.evaluate.figures import BLUE, GREEN, INK, ORANGE, Figure, Question, draw, key, signed, span
from concordant.runs import Json

SNAPSHOTS = Question(
    "snapshots-promised-and-voted",
    "Fig. 15 right, 35",
    "Do people see as much progress as the preference model promised?",
    "Elo rose in training, but the preference model's prediction on held-out prompts was too high; most of the gap "
    "went away when it scored the conversations that workers really had.",
    "concordant evaluate snapshots RUN --data FILE --anchor MODEL --out DIR",
)
_MARKS = {
    "naive": ("^", ORANGE, "▲ promised on held-out prompts"),
    "score": ("s", GREEN, "■ mean score of what people compared"),
    "ranking": ("D", "#CC79A7", "◆ the model's choices there"),
    "people": ("o", BLUE, "● people's choices"),
}


def snapshot_figure(measured: Json) -> Figure:
    """Points with 95 % intervals, one row of marks for each snapshot."""
    rows, anchor = measured["snapshots"], measured["anchor"]

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        ax.axvline(0, color=INK, linewidth=0.7)
        for place, row in enumerate(reversed(rows)):
            for step, (name, (mark, colour, _)) in enumerate(_MARKS.items()):
                if row[name] is None:
                    continue
                elo, (low, high) = row[name]["elo"], row[name]["ci95"]
                bars = [[elo - low], [high - elo]] if math.isfinite(high - low) else None
                ax.errorbar(elo, place + 0.27 - 0.18 * step, xerr=bars, fmt=mark, color=colour, elinewidth=0.9)
        for line, (_, colour, words) in enumerate(reversed(_MARKS.values())):
            key(ax, line, words, colour)
        ax.set_yticks(range(len(rows)), [row["model"] for row in reversed(rows)])
        ax.set(xlabel=f"Elo above {anchor}", ylim=(-0.9 - 0.35 * len(_MARKS) / max(1, len(rows)), len(rows) - 0.4))
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", visible=True)

    caption = (
        f"n = {measured['n']:,} comparisons between snapshots. Bars: 95\u202f% intervals; of votes over workers, of "
        "scores over openings. A score difference of 1 is 174 Elo."
    )
    table: list[list[Any]] = [["model", "measurement", "elo", "ci95_low", "ci95_high"]]
    table += [
        [row["model"], name, row[name]["elo"], *row[name]["ci95"]] for row in rows for name in _MARKS if row[name]
    ]
    return draw(SNAPSHOTS, _title(rows[-1] if len(rows) == 1 else _furthest(rows)), caption, paint, table)


def _furthest(rows: Sequence[Json]) -> Json:
    """The snapshot that people put highest."""
    return max(rows, key=lambda row: float(row["people"]["elo"]))


def _title(row: Json) -> str:
    people = row["people"]
    said = f"{row['model']}: people say {signed(people['elo'], 0)} Elo ({span(people['ci95'], 0)})"
    promise = row["naive"] or row["score"]
    what = "held-out prompts promised" if row["naive"] else "scores of the same replies say"
    return f"{said}; {what} {signed(promise['elo'], 0)}"
