"""Figures of bias and refusals: occupations (Fig. 40), BBQ (Fig. 18), sentiment by group (Fig. 17), XSTest."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from concordant.evaluate.capability_figures import MOST_MODELS, _bars, _legend, _name_lines
from concordant.evaluate.figures import (
    BLUE,
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
    span,
)  # fmt: skip
from concordant.runs import Json

OCCUPATIONS = Question(
    "gender-and-occupation",
    "Fig. 40",
    "Does it take an occupation for a man's or a woman's?",
    "Policies were as biased as context-distilled models at a temperature of about 0.6, and strongly correlated.",
    "concordant evaluate bias MODEL MODEL --out DIR",
)
BBQ = Question(
    "bbq",
    "Fig. 18",
    "Whom does it name where the text does not say?",
    "All models were close to ½, the unbiased value; no conclusion was drawn.",
    "concordant evaluate bias MODEL MODEL --data DIR --out DIR",
)
SENTIMENT = Question(
    "sentiment-by-group",
    "Fig. 17",
    "How kindly does it speak of groups of people?",
    "RLHF raised the sentiment towards all groups; whether it narrowed the gaps was unclear.",
    "concordant evaluate bias MODEL MODEL --out DIR",
)
REFUSALS = Question(
    "refusals",
    "§4.4",
    "Does it refuse what it should, and only that?",
    "Policies became evasive where they were driven too far against harmlessness; no number is given.",
    "concordant evaluate refusals MODEL MODEL --prompts FILE --out DIR",
)


def bias_figures(result: Json) -> list[Figure | Missing]:
    """Those for which something was measured."""
    drawn = {"winogender": _occupation_figure, "occupations": _occupation_figure, "bbq": _bbq_figure}
    found: list[Figure | Missing] = []
    if name := next((name for name in ("occupations", "winogender") if name in result), None):
        found.append(drawn[name](result, name))
    if "bbq" in result:
        found.append(_bbq_figure(result, "bbq"))
    if "sentiment" in result:
        found.append(_sentiment_figure(result))
    return found


def _occupation_figure(result: Json, name: str) -> Figure:
    part, models = result[name], result["models"][:2]
    found = {model: part["models"][model] for model in models}
    title = "r with the share of women: " + ", ".join(
        f"{model} {number(found[model]['correlation']['value'], 2)}" for model in models
    )
    caption = (
        f"n = {part['n']} occupations, drawn anew for 95\u202f% intervals; shares of women in US labour statistics. "
        + ("Mean over 12 pairs of words. " if name == "occupations" else "Mean over Winogender's sentences. ")
        + " ".join(
            f"{model}: r {span(of_model['correlation']['ci95'], 2)}, mean size "
            f"{number(of_model['mean_bias']['value'], 2)} ({span(of_model['mean_bias']['ci95'], 2)})."
            for model, of_model in found.items()
        )
    )

    def paint(axes: Sequence[Any]) -> None:
        ax = axes[0]
        ax.axhline(0, color=INK, linewidth=0.6)
        marks = ((BLUE, "o", "●"), (ORANGE, "s", "■"))
        for place, (model, (color, shape, sign)) in enumerate(zip(models, marks, strict=False)):
            points = np.array([[women, bias] for _, women, bias in part["points"][model]])
            ax.plot(100 * points[:, 0], points[:, 1], shape, color=color, markersize=3, alpha=0.75, linewidth=0)
            key(ax, len(models) - 1 - place, f"{sign} {model}", color)
        low, high = ax.get_ylim()  # room for the names
        ax.set(
            xlabel="women in the occupation (%)",
            ylabel="log P(female) / P(male)",
            ylim=(low - 0.2 * (high - low), high),
        )

    table: list[list[Any]] = [["occupation", "share_of_women", "model", "log_ratio"]]
    table += [[item, women, model, bias] for model in result["models"] for item, women, bias in part["points"][model]]
    return draw(OCCUPATIONS, title, caption, paint, table)


def _bbq_figure(result: Json, name: str) -> Figure:
    models = result["models"][:MOST_MODELS]
    of_model = result[name]["models"]
    categories = list(of_model[models[0]])
    lines = [(category, condition) for category in categories for condition in of_model[models[0]][category]]
    last = "all" if "all" in categories else categories[-1]
    title = "Bias where the text does not say: " + ", ".join(
        f"{model} {_score(of_model[model][last].get('ambig'))}" for model in models
    )
    caption = (
        "BBQ's bias score, −1 to 1; 0 is unbiased, above it answers follow the stereotype. Bars are 95\u202f% "
        "intervals from drawing templates of questions anew. "
        + " ".join(
            f"{model}: right on {_accuracy(of_model[model][last], 'ambig')} where the text does not say, "
            f"{_accuracy(of_model[model][last], 'disambig')} where it does."
            for model in models
        )
    )
    empty = {"value": float("nan"), "ci95": [float("nan")] * 2}

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(lines))[::-1]
        ax.axvline(0, color=INK, linewidth=0.7)
        for mark, model in enumerate(models):
            parts = [of_model[model][category][condition] for category, condition in lines]
            shown = [empty if p["bias"] is None else {"value": p["bias"], "ci95": p["bias_ci95"]} for p in parts]
            _bars(ax, places, shown, mark, len(models), 1.0)
        said = {"ambig": "open", "disambig": "told"}
        _name_lines(ax, places, [f"{category.replace('_', ' ')}, {said[condition]}" for category, condition in lines])
        ax.set_xlabel("bias score")
        _legend(ax, models)

    columns = ["n", "templates", "accuracy", "bias", "negative_uses", "unknown_chosen"]
    table: list[list[Any]] = [["model", "category", "condition", *columns, "ci95", "bias_ci95"]]
    table += [
        [model, category, condition, *(part[column] for column in columns), part["ci95"], part["bias_ci95"]]
        for model in result["models"]
        for category, of_category in of_model[model].items()
        for condition, part in of_category.items()
    ]
    return draw(BBQ, title, caption, paint, table)


def _score(part: Json | None) -> str:
    return "none" if part is None or part["bias"] is None else number(part["bias"], 2)


def _accuracy(of_category: Json, condition: str) -> str:
    part = of_category.get(condition)
    return "none" if part is None else f"{percent(part['accuracy'])} of {part['n']:,}"


def _sentiment_figure(result: Json) -> Figure:
    models = result["models"][:MOST_MODELS]
    parts = {model: result["sentiment"]["models"][model] for model in models}
    groups = list(parts[models[0]]["groups"])
    title = "Kindness of all completions: " + ", ".join(
        f"{model} {number(part['groups']['all']['kindness'], 2)}" for model, part in parts.items()
    )
    caption = (
        f"n = {parts[models[0]]['groups']['all']['n']:,} completions a model; scorer: {parts[models[0]]['scorer']}; ½ "
        "where no word of it occurs. Bars are 95\u202f% intervals. "
        + " ".join(
            f"{model}: widest gap between groups {number(part['widest_gap'], 2)}; {percent(part['rated'], 0)} rated."
            for model, part in parts.items()
        )
    )
    return _lines_figure(
        (SENTIMENT, title, caption),
        [group for group in groups],
        {m: [{"value": p["groups"][g]["kindness"], **p["groups"][g]} for g in groups] for m, p in parts.items()},
        ("kindness, 0 to 1", 1.0, 0.5),
    )


def refusal_figure(result: Json) -> Figure:
    """Shares of refusals of safe and of unsafe prompts, and of the types of safe ones."""
    models = result["models"][:MOST_MODELS]
    parts = {model: result["refusals"]["models"][model] for model in models}
    labels = [label for label in ("safe", "unsafe") if label in parts[models[0]]]
    kinds = [kind for kind, part in parts[models[0]]["by_type"].items() if part["safe"]]
    title = "Refused: " + "; ".join(
        f"{model} " + ", ".join(f"{percent(part[label]['share'], 0)} of {label}" for label in labels)
        for model, part in parts.items()
    )
    said = [
        f"{model}: "
        + ", ".join(f"{percent_span(part[label]['ci95'])} of {part[label]['n']:,} {label}" for label in labels)
        for model, part in parts.items()
    ]
    caption = (
        f"{'; '.join(said)}. 95\u202f% intervals; refusals are counted by phrases, English only. Safe prompts by type "
        "below."
    )
    lines = [f"all {label}" for label in labels] + [kind.replace("_", " ") for kind in kinds]

    def shares(part: Json) -> list[Json]:
        found = [part[label] for label in labels] + [part["by_type"][kind] for kind in kinds]
        return [{"value": one["share"], **one} for one in found]

    heads = (REFUSALS, title, caption)
    return _lines_figure(
        heads, lines, {model: shares(part) for model, part in parts.items()}, ("refused (%)", 100.0, None)
    )


def _lines_figure(
    heads: tuple[Question, str, str],
    lines: Sequence[str],
    values: dict[str, list[Json]],
    axis: tuple[str, float, float | None],
) -> Figure:
    """A line for each name, every model a mark on it. ``axis``: label, scale, and where a thin line stands."""
    label, scale, middle = axis
    models = list(values)

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(lines))[::-1]
        if middle is not None:
            ax.axvline(middle, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
        for mark, model in enumerate(models):
            _bars(ax, places, values[model], mark, len(models), scale)
        _name_lines(ax, places, lines)
        ax.set_xlabel(label)
        _legend(ax, models)

    table: list[list[Any]] = [["what", "model", "value", "ci95_low", "ci95_high", "n"]]
    table += [
        [line, model, one["value"], *one["ci95"], one["n"]]
        for model in models
        for line, one in zip(lines, values[model], strict=True)
    ]
    question, title, caption = heads
    painted: Callable[[Sequence[Any]], None] = paint
    return draw(question, title, caption, painted, table)
