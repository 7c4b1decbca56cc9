"""The figure of what policies would have chosen, along their training (Fig. 34)."""

from collections.abc import Sequence
from typing import Any

from concordant.evaluate.figures import BLUE, GREEN, GREY, INK, ORANGE, Figure, Question, draw, percent, signed
from concordant.runs import Json

LIKELIHOOD = Question(
    "likelihood-accuracy",
    "Fig. 34",
    "Does the policy itself know the better reply?",
    "The policies' accuracy stayed below the preference models', and on harmless comparisons it did not move.",
    "concordant evaluate likelihood MODEL MODEL --data NAME=FILE --out DIR",
)
_COLOURS = (BLUE, ORANGE, GREEN, INK)


def likelihood_figure(result: Json) -> Figure:
    """Accuracy with 95 % intervals: a line for each file over the replies sampled, preference models dashed.

    Where it is not known how far a model was trained, the models stand side by side.
    """
    models, samples = result["models"], result["samples"]
    known = len(models) > 1 and all(samples[name] is not None for name in models)
    places = [float(samples[name]) if known else float(place) for place, name in enumerate(models)]
    order = sorted(range(len(models)), key=lambda place: places[place])

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        ax.axhline(50, color=GREY, linewidth=0.7)
        for colour, row in zip(_cycle(len(result["tasks"])), result["tasks"], strict=True):
            scores = [row["scores"][models[place]] for place in order]
            x, y = [places[place] for place in order], [100 * score["value"] for score in scores]
            bars = [[100 * (score["value"] - score["ci95"][0]) for score in scores],
                    [100 * (score["ci95"][1] - score["value"]) for score in scores]]  # fmt: skip
            ax.errorbar(x, y, yerr=bars, fmt="o-" if known else "o", color=colour, elinewidth=0.9, markersize=3.6)
            ax.annotate(row["task"], (x[-1], y[-1]), (5, 0), textcoords="offset points", color=colour, va="center")
            for found in result["ceilings"].get(row["task"], {}).values():
                ax.axhline(100 * found["value"], color=colour, linewidth=0.9, linestyle="--")
        ax.margins(x=0.16)
        if known:
            ax.set_xlabel("replies sampled in training")
        else:
            ax.set_xticks(places, models)
        ax.set_ylabel("right (%)")

    counted = ", ".join(f"{row['task']} {row['n']:,}" for row in result["tasks"])
    caption = (
        f"Share of comparisons whose better reply has the higher mean log-probability of a token. n: {counted}. Bars: "
        "95\u202f% intervals, clustered by opening. Grey: a coin. "
    )
    ceilings = [
        f"{name} on {task}: {percent(found['value'])}"
        for task, by in result["ceilings"].items()
        for name, found in by.items()
    ]
    if ceilings:
        caption += f"Dashed: preference models ({'; '.join(ceilings)})."
    table: list[list[Any]] = [["file", "model", "samples", "accuracy", "ci95_low", "ci95_high", "n"]]
    table += [
        [row["task"], name, samples[name], row["scores"][name]["value"], *row["scores"][name]["ci95"], row["n"]]
        for row in result["tasks"]
        for name in models
    ]
    table += [
        [task, name, "", found["value"], *found["ci95"], found["n"]]
        for task, by in result["ceilings"].items()
        for name, found in by.items()
    ]
    return draw(LIKELIHOOD, _title(result, models[order[-1]]), caption, paint, table)


def _cycle(count: int) -> list[str]:
    return [_COLOURS[place % len(_COLOURS)] for place in range(count)]


def _title(result: Json, last: str) -> str:
    parts = []
    for row in result["tasks"]:
        said = f"{row['task']} {percent(row['scores'][last]['value'])}"
        gap = row["differences"].get(last)
        if gap is not None:
            low, high = (signed(100 * end, 1) for end in gap["ci95"])
            said += f" ({signed(100 * gap['value'], 1)} points, {low} to {high})"
        parts.append(said)
    return f"{last}: {', '.join(parts)}"
