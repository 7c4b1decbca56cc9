"""Scans: many preference models that differ in one thing, in one table and one figure (Fig. 7, 19, 26, 27).

A cell is an ordinary PM run with its measurements on the scan's tests, which are the same for all cells. Finished cells
are not made again, a killed one goes on inside itself, and table and figure are written whole after each cell. Left
out: running cells side by side (one model already uses the whole machine).
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from concordant.comparison import Objective, Preference
from concordant.config import PreferenceModelConfig, changed
from concordant.errors import UserError
from concordant.evaluate.figures import Figure
from concordant.evaluate.scan_figures import scan_figure
from concordant.mixture import Mixture, Source, largest_total, mix, teaching
from concordant.pm_run import measure_run, train_run
from concordant.runs import Json, Run, Watch, read_json, write_whole

TRAINING_COST = 3
"""Passes that training costs for a comparison, to one of measuring it: forward, and twice that backward."""

CELL = "cell.json"
HEAD = "scan.json"


@dataclass(frozen=True, slots=True)
class Cell:
    """One model of a scan.

    Attributes:
        x: where it stands on the axis.
        model: name of its base model.
        config: of its run.
        mixture: what it learns from.
    """

    x: float
    model: str
    config: PreferenceModelConfig
    mixture: Mixture


@dataclass(frozen=True, slots=True)
class Plan:
    """What all scans have in common.

    Attributes:
        folder: where it stands.
        sources: comparisons to learn from, without the openings of the tests.
        tests: objective → comparisons; every model is measured on each of them.
        config: of all cells, but for the scanned key, the model and the seed.
        models: name → folder of each base model.
        seeds: of every cell, one run each.
        record: which data these are, for the parents of runs.
        keep_models: whether a cell's weights stay after it has been measured.
    """

    folder: Path
    sources: Sequence[Source]
    tests: Mapping[str, Sequence[Preference]]
    config: PreferenceModelConfig
    models: Mapping[str, Path]
    seeds: Sequence[int]
    record: Mapping[str, str]
    keep_models: bool = True


@dataclass(frozen=True, slots=True)
class Scan:
    """A plan with its axis: ``key`` is "comparisons", "harmless_share", or a key of the config."""

    plan: Plan
    key: str
    cells: list[Cell] = field(default_factory=list)


def comparisons_scan(plan: Plan, sizes: Sequence[int]) -> Scan:
    """Accuracy against the number of comparisons (Fig. 7). With no sizes: 1,000, doubled up to what there is.

    Raises:
        UserError: there are not so many comparisons.
    """
    most = _most(plan.sources)
    sizes = sizes or [1000 * 2**power for power in range(20) if 1000 * 2**power <= most]
    if not sizes or max(sizes) > most:
        raise UserError(
            f"{max(sizes, default=1000):,} comparisons were asked for, and {most:,} can be had; ask for fewer"
        )
    return Scan(
        plan, "comparisons", _cells(plan, sizes, lambda size, config: mix(plan.sources, int(size), config.seed))
    )


def mixture_scan(plan: Plan, shares: Sequence[float], total: int | None) -> Scan:
    """Accuracy against the share of harmless comparisons, at one total (Fig. 19, 26).

    Args:
        plan: its sources have no weights.
        shares: of harmless ones, in [0, 1].
        total: comparisons of every cell; None for as many as all shares allow.

    Raises:
        UserError: no helpful or no harmless comparisons, or too few of them.
    """
    if any(source.weight is not None for source in plan.sources):
        raise UserError("a scan of mixtures sets the weights itself; leave them out of --data")
    rows = [row for source in plan.sources for row in teaching(source.rows)]
    by_objective = {objective: [row for row in rows if row.objective == objective] for objective in Objective}
    for objective, found in by_objective.items():
        if not found:
            raise UserError(f"--data holds no {objective} comparison; a scan of mixtures needs {objective}=FILE too")
    available = [len(by_objective[objective]) for objective in (Objective.HELPFUL, Objective.HARMLESS)]
    size = total or min(largest_total((1 - share, share), available) for share in shares)

    def mixed(share: float, config: PreferenceModelConfig) -> Mixture:
        weights = {Objective.HELPFUL: 1 - share, Objective.HARMLESS: share}
        sources = [Source(objective, by_objective[objective], weight) for objective, weight in weights.items()]
        return mix(sources, size, config.seed)

    return Scan(plan, "harmless_share", _cells(plan, shares, mixed))


def setting_scan(plan: Plan, key: str, values: Sequence[float], total: int | None) -> Scan:
    """Accuracy against a key of the config, such as the loss weight of harmless comparisons (Fig. 27).

    Raises:
        UserError: no such key, or a value out of its range.
    """
    return Scan(plan, key, _cells(plan, values, lambda _, config: mix(plan.sources, total, config.seed), key))


def run_scan(scan: Scan, watch: Watch) -> Json:
    """Make what is missing; returns ``{"rows", "points", "title", "files"}``.

    Raises:
        UserError: the folder holds another scan, or a cell cannot be trained.
    """
    plan = scan.plan
    _begin(scan)
    with Run(plan.folder).alone():
        missing = [not (_folder(scan, cell) / CELL).exists() for cell in scan.cells]
        work = [_work(scan, cell) for cell, is_missing in zip(scan.cells, missing, strict=True) if is_missing]
        progress = _Progress(watch, sum(work))
        for number, cell in enumerate(scan.cells, start=1):
            run = Run.begin(_folder(scan, cell), "pm", cell.config.model_dump(mode="json"), _parents(scan, cell))
            if missing[number - 1]:
                progress.title = f"model {number} of {len(scan.cells)}: {run.name}"
                _make(scan, cell, run, progress)
                write_tables(plan.folder)
            if not plan.keep_models:
                shutil.rmtree(run.model, ignore_errors=True)
        return write_tables(plan.folder)


def write_tables(folder: Path) -> Json:
    """Write table.csv, table.json and the figure of all cells that were made in a scan's folder so far."""
    head = read_json(folder / HEAD)
    rows = [read_json(path) for path in (folder / "cells").glob(f"*/{CELL}")]
    rows.sort(key=lambda row: (row["model"], row["x"], row["seed"]))
    figure, points = scan_figure(head["key"], head["tests"], rows)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    table = csv.DictWriter(text, columns, lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    files: dict[str, str] = {"table.csv": text.getvalue()}
    summary: Json = {"scan": head, "rows": rows, "points": points}
    if isinstance(figure, Figure):
        summary["title"] = figure.title
        files |= {f"{figure.question.name}.svg": figure.svg, f"{figure.question.name}.csv": figure.csv}
    files["table.json"] = json.dumps(summary, indent=2) + "\n"
    for name, content in files.items():
        write_whole(folder / name, content)
    return {**summary, "files": [str(folder / name) for name in sorted(files)]}


def _cells(
    plan: Plan,
    values: Sequence[int] | Sequence[float],
    mixed: Callable[[Any, PreferenceModelConfig], Mixture],
    key: str | None = None,
) -> list[Cell]:
    """A cell for each seed, model and value, in this order: the first seed's whole curve comes first."""
    for name, listed in (("seed", plan.seeds), ("value", values)):
        if len(set(listed)) < len(listed) or not listed:
            raise UserError(f"each {name} must stand in the list once, and at least one: {list(listed)}")
    cells = []
    for seed in plan.seeds:
        for model in plan.models:
            for value in values:
                here = {} if key is None else {key: value}
                config = changed(plan.config, {"model": model, "seed": seed, **here})
                cells.append(Cell(float(value), model, config, mixed(value, config)))
    return cells


def _most(sources: Sequence[Source]) -> int:
    """The most comparisons that can be drawn from the sources."""
    available = [len(teaching(source.rows)) for source in sources]
    weights = [source.weight for source in sources if source.weight is not None]
    return largest_total(weights, available) if weights else sum(available)


def _begin(scan: Scan) -> None:
    """Write what the scan is, or make sure that the folder holds this one. Values, models and seeds may be added."""
    plan = scan.plan
    free = {"model", "seed", scan.key}
    asked = {
        "key": scan.key,
        "tests": {objective: _digest(exam) for objective, exam in plan.tests.items()},
        "data": dict(plan.record),
        "config": {key: value for key, value in plan.config.model_dump(mode="json").items() if key not in free},
    }
    path = plan.folder / HEAD
    if path.exists():
        found = read_json(path)
        for key, value in asked.items():
            if found.get(key) != value:
                raise UserError(
                    f"{plan.folder} holds another scan, whose {key} differ from this one's; choose another folder"
                )
        return
    if plan.folder.exists() and any(not item.name.startswith(".") for item in plan.folder.iterdir()):
        raise UserError(f"{plan.folder} is not empty and holds no scan; choose another folder")
    write_whole(path, json.dumps(asked, indent=2) + "\n")


def _folder(scan: Scan, cell: Cell) -> Path:
    name = f"{scan.key}-{cell.x:.12g}-{_label(cell.model)}-seed-{cell.config.seed}"
    return scan.plan.folder / "cells" / name


def _label(model: str) -> str:
    """A model's name as a part of a path."""
    return Path(model).name


def _parents(scan: Scan, cell: Cell) -> dict[str, str]:
    """What the run was made from. A scan of mixtures has two sources of its own, whatever the files are."""
    counts = cell.mixture.counts
    names = list(Objective) if scan.key == "harmless_share" else [source.name for source in scan.plan.sources]
    mixed = ", ".join(f"{count} of {name}" for count, name in zip(counts, names, strict=True))
    return {**scan.plan.record, "mixed": mixed, "base": cell.model}


def _digest(exam: Sequence[Preference]) -> str:
    """How many comparisons, and a hash of what they say."""
    said = hashlib.sha256()
    for row in exam:
        said.update(json.dumps([row.prompt.split_key, row.chosen, row.rejected]).encode())
    return f"{len(exam)}@{said.hexdigest()[:12]}"


@dataclass(slots=True)
class _Progress:
    """One bar over all cells, in comparisons' worth of work."""

    watch: Watch
    total: int
    done: int = 0
    title: str = ""

    def part(self, work: int) -> Watch:
        """A watch for the next part of the work."""
        before = self.done
        self.done += work

        def watch(done: int, total: int, seen: str) -> None:
            self.watch(before + work * done // max(1, total), self.total, f"{self.title}  {seen}".rstrip())

        watch(0, 1, "")
        return watch


def _training_work(scan: Scan, cell: Cell) -> int:
    return TRAINING_COST * len(cell.mixture.preferences) * _weight(scan, cell)


def _work(scan: Scan, cell: Cell) -> int:
    return _training_work(scan, cell) + sum(map(len, scan.plan.tests.values())) * _weight(scan, cell)


def _weight(scan: Scan, cell: Cell) -> int:
    """How much larger the cell's model is than the scan's smallest, by the size of its files."""
    sizes = {
        name: max(1, sum(file.stat().st_size for file in folder.glob("*.safetensors")))
        for name, folder in scan.plan.models.items()
    }
    return max(1, round(sizes[cell.model] / min(sizes.values())))


def _make(scan: Scan, cell: Cell, run: Run, progress: _Progress) -> None:
    """Train and measure a cell, or what is left of that; its row stands in cell.json at the end."""
    plan, lessons = scan.plan, cell.mixture.preferences
    try:
        result = train_run(
            run, plan.models[cell.model], lessons, cell.config, progress.part(_training_work(scan, cell))
        )
        measured: dict[str, Json] = {}
        for objective, exam in plan.tests.items():
            file = f"evaluation-{objective}.json"
            watch = progress.part(len(exam) * _weight(scan, cell))
            done = (run.path / file).exists()
            measured[objective] = read_json(run.path / file) if done else measure_run(run, exam, watch, file)
    except UserError as error:
        raise UserError(f"{run.name}: {error}") from None
    write_whole(run.path / CELL, json.dumps(_row(scan, cell, result, measured), indent=2) + "\n")


def _row(scan: Scan, cell: Cell, result: Json, measured: Mapping[str, Json]) -> Json:
    """One row of the table."""
    x = int(cell.x) if cell.x.is_integer() else cell.x
    row: Json = {
        scan.key: x,
        "x": x,
        "model": _label(cell.model),
        "seed": cell.config.seed,
        "parameters": next(iter(measured.values()))["parameters"],
        "drawn": len(cell.mixture.preferences),
        "drawn_helpful": sum(row.objective == Objective.HELPFUL for row in cell.mixture.preferences),
        "used": result["comparisons"],
    }
    for objective, evaluation in measured.items():
        found = {
            "n": evaluation["n"],
            "accuracy": evaluation["accuracy"],
            "ci95_low": evaluation["ci95"][0],
            "ci95_high": evaluation["ci95"][1],
            "ties": evaluation["ties"],
            "nll": evaluation["nll"],
            "ece": evaluation["ece"],
            "longer_wins": evaluation["length_baseline"]["longer_wins"],
            "collapsed": evaluation["collapsed"],
        }
        row |= {f"{objective}_{name}": value for name, value in found.items()}
    if len(measured) > 1:
        row["mean_accuracy"] = sum(evaluation["accuracy"] for evaluation in measured.values()) / len(measured)
    return row | {"train_loss": result["train_loss"], "train_seconds": result["seconds"]}
