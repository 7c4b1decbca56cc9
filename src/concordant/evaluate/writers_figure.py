"""The figure of human writers against a model (Fig. 24): densities of the preference model's scores."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.evaluate.figures import BLUE, ORANGE, Figure, Question, draw, key, percent, percent_span
from concordant.runs import Json

WRITERS = Question(
    "writers-and-model",
    "Fig. 24",
    "Does the preference model put the model's usual reply above a writer's?",
    "The preference model scored its models' median replies above those of paid writers; people preferred them in 56 "
    "to 57\u202f%.",
    "concordant evaluate writers RUN --written FILE --best-of DIR --out DIR",
)


def writers_figure(measured: Json) -> Figure:
    """Two densities on common bins."""
    edges = np.array(measured["edges"])
    lines = (("median", BLUE, "-", "— the model's median reply"), ("writers", ORANGE, (0, (4, 2)), "- - writers"))

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        for place, (name, colour, dashes, words) in enumerate(lines):
            ax.stairs(measured["densities"][name], edges, color=colour, linestyle=dashes, linewidth=1.1)
            ax.plot([measured[name]["mean"]], [0], "|", color=colour, markersize=9, clip_on=False)
            key(ax, 1 - place, words, colour)
        ax.set(xlabel="score (mean of the writers taken off)", ylabel="density", ylim=(0, None))

    title = (
        f"The model's median reply scores above the writer's for {percent(measured['model_wins'], 0)} of "
        f"{measured['n']:,} prompts ({percent_span(measured['ci95'], 0)})"
    )
    caption = (
        f"n = {measured['n']:,} prompts, {measured['replies']} replies of the model to each, of which the one of "
        "median score is shown. Strokes on the axis: means. What a preference model says here, people need not say."
    )
    table: list[list[Any]] = [["whose", "bin_low", "bin_high", "density"]]
    for name, *_ in lines:
        table += [[name, *edge] for edge in zip(edges[:-1], edges[1:], measured["densities"][name], strict=True)]
    return draw(WRITERS, title, caption, paint, table)
