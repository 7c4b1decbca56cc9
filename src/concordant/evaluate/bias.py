"""What models take for granted about groups of people: four measurements on one or more models (paper §4.6.2, B.10).

Each is measured where its files are there: occupations and Winogender (``occupations.py``), BBQ, CrowS-Pairs; sentiment
by group needs none. Results of every item are kept, and answers are not asked twice.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError
from concordant.evaluate.asked_model import AskedModel, Writing
from concordant.evaluate.bbq import ask_bbq, bbq_summary, is_bbq, read_bbq
from concordant.evaluate.benchmark_files import find_file
from concordant.evaluate.capabilities import keep_items
from concordant.evaluate.crows_pairs import ask_crows_pairs, crows_summary, read_crows_pairs
from concordant.evaluate.group_sentiment import ask_sentiment, sentiment_summary
from concordant.evaluate.occupations import (
    ask_occupations,
    ask_winogender,
    read_occupations,
    read_winogender,
    summary,
)
from concordant.runs import Json, Run, Watch

MEASURES = ("occupations", "winogender", "bbq", "crows-pairs", "sentiment")

_FILES = {
    "occupations": "occupations-stats.tsv of Winogender",
    "winogender": "all_sentences.tsv and occupations-stats.tsv of Winogender",
    "bbq": "BBQ's .jsonl files",
    "crows-pairs": "crows_pairs_anonymized.csv",
}
_STATISTICS = ("winogender_occupations-stats", "occupations-stats")

Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class BiasPlan:
    """What is measured on what.

    Attributes:
        measures: of ``MEASURES``.
        folders: with the files.
        limit: most items of BBQ, CrowS-Pairs and Winogender, always the same ones.
        writing: how sentences are finished.
        strict: a measure without its file is an error; else it is left out, and said so.
    """

    measures: tuple[str, ...]
    folders: tuple[Path, ...]
    limit: int | None
    writing: Writing
    strict: bool = True


def measures_of(plan: BiasPlan) -> tuple[dict[str, Any], dict[str, str]]:
    """(the items of each measure, why others are left out).

    Raises:
        UserError: an unknown measure, or a file of other columns; or ``plan.strict``, and a file is missing.
    """
    for name in plan.measures:
        if name not in MEASURES:
            raise UserError(f"measure {name!r} is unknown; give {', '.join(MEASURES)}")
    items: dict[str, Any] = {}
    left_out: dict[str, str] = {}
    for name in plan.measures:
        found = _items(name, plan)
        if found is not None:
            items[name] = found
            continue
        where = " ".join(map(str, plan.folders)) or "no --data folder"
        left_out[name] = f"{where} holds nothing for {name}; put {_FILES[name]} there, or leave the measure out"
        if plan.strict:
            raise UserError(left_out[name])
    return items, left_out


def _items(name: str, plan: BiasPlan) -> Any:
    """What one measure asks about; None where its files are not there."""
    if name == "sentiment":
        return []
    if name == "bbq":
        paths = [path for folder in plan.folders for path in _bbq_files(folder)]
        return _some(read_bbq(paths), plan.limit) if paths else None
    if name == "crows-pairs":
        path = find_file(plan.folders, ("crows_pairs",))
        return None if path is None else _some(read_crows_pairs(path), plan.limit)
    statistics = find_file(plan.folders, _STATISTICS)
    sentences = find_file(plan.folders, ("winogender_all_sentences", "all_sentences"))
    if statistics is None or (name == "winogender" and sentences is None):
        return None
    women = read_occupations(statistics)
    if name == "occupations":
        return women
    assert sentences is not None
    return _some(read_winogender(sentences), plan.limit), women


def _bbq_files(folder: Path) -> list[Path]:
    places = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    files = (path for place in places for path in sorted(place.iterdir()))
    return [path for path in files if path.name.endswith((".jsonl", ".jsonl.gz")) and is_bbq(path)]


def _some(items: list[Any], limit: int | None) -> list[Any]:
    if limit is None or limit >= len(items):
        return items
    return [items[place] for place in sorted(random.Random("limit").sample(range(len(items)), limit))]


def measure_bias(
    run: Run, models: Sequence[AskedModel], items: Mapping[str, Any], plan: BiasPlan, watch: Watch
) -> Json:
    """Ask every model, keep every item's result, and sum up: ``{"models": […], measure: {…}}``."""
    result: Json = {"models": [asked.name for asked in models]}
    total = len(items) * len(models)
    with run.alone():
        for place, (name, of_measure) in enumerate(items.items()):
            rows: dict[str, Rows] = {}
            for asked in models:
                watch(place * len(models) + len(rows), total, name)
                rows[asked.name] = _ask(asked, name, of_measure, plan)
                keep_items(run, name, asked.name, rows[asked.name])
            result[name] = _summary(name, rows)
        watch(total, total, "")
    return result


def _ask(asked: AskedModel, name: str, items: Any, plan: BiasPlan) -> Rows:
    if name == "occupations":
        return ask_occupations(asked, items)
    if name == "winogender":
        return ask_winogender(asked, *items)
    if name == "bbq":
        return ask_bbq(asked, items)
    if name == "crows-pairs":
        return ask_crows_pairs(asked, items)
    return ask_sentiment(asked, plan.writing)


def _summary(name: str, rows: Mapping[str, Rows]) -> Json:
    if name in ("occupations", "winogender"):
        points = {
            model: [[row["item"], row["women"], row["bias"]] for row in of_model] for model, of_model in rows.items()
        }
        return {**summary(dict(rows)), "points": points}
    of_one = {"bbq": bbq_summary, "crows-pairs": crows_summary, "sentiment": sentiment_summary}[name]
    return {"models": {model: of_one(of_model) for model, of_model in rows.items()}}
