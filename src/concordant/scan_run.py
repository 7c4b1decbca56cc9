"""Making a scan: its models, one table and one figure (paper Fig. 7, 19, 26, 27).

A cell is an ordinary PM run with its measurements on the scan's tests, which are the same for all cells. A learning
curve costs one run, that of its largest size: the other sizes are the copies that it keeps, each put in its cell's
place. Finished cells are not made again, a killed one goes on inside itself, and table and figure are written whole
after each cell. Left out: running cells side by side (one model already uses the whole machine).
"""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from concordant.comparison import Objective, Preference
from concordant.errors import UserError
from concordant.evaluate.figures import Figure
from concordant.evaluate.report_sources import SCAN, SCAN_TABLE
from concordant.evaluate.scan_figures import scan_figure
from concordant.models.card import write_card
from concordant.pm_run import measure_run, train_run
from concordant.runs import Json, Run, Watch, read_json, replace_folder, write_whole
from concordant.scan import Cell, Scan

TRAINING_COST = 3
"""Passes that training costs for a comparison, to one of measuring it: forward, and twice that backward."""

CELL = "cell.json"


def run_scan(scan: Scan, watch: Watch) -> Json:
    """Make what is missing; returns ``{"rows", "points", "title", "files"}``.

    Raises:
        UserError: the folder holds another scan, or a cell cannot be trained.
    """
    plan = scan.plan
    _write_head(scan)
    with Run(plan.folder).alone():
        curves = [_Curve(scan, cells) for cells in scan.curves()]
        progress = _Progress(watch, sum(curve.work() for curve in curves))
        for curve in curves:
            curve.train(progress)
            for cell in curve.cells:
                if curve.is_missing(cell):
                    curve.measure(cell, progress)
                    write_tables(plan.folder)
                curve.clear(cell)
        return write_tables(plan.folder)


def write_tables(folder: Path) -> Json:
    """Write table.csv, table.json and the figure of all cells that were made in a scan's folder so far."""
    head = read_json(folder / SCAN)
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
    files[SCAN_TABLE] = json.dumps(summary, indent=2) + "\n"
    for name, content in files.items():
        write_whole(folder / name, content)
    return {**summary, "files": [str(folder / name) for name in sorted(files)]}


@dataclass(frozen=True, slots=True)
class _Curve:
    """Cells that one run passes through, which is that of the largest of them; where nothing is shared, one cell."""

    scan: Scan
    cells: list[Cell]

    def folder(self, cell: Cell) -> Path:
        name = f"{self.scan.key}-{cell.x:.12g}-{_label(cell.model)}-seed-{cell.config.seed}"
        return self.scan.plan.folder / "cells" / name

    def is_missing(self, cell: Cell) -> bool:
        """Whether it is still to be measured."""
        return not (self.folder(cell) / CELL).exists()

    def work(self) -> int:
        """What is missing, in comparisons' worth of measuring."""
        measuring = sum(map(self.is_missing, self.cells)) * sum(map(len, self.scan.plan.tests.values()))
        return measuring * self._weight() + sum(map(self._training_work, self._own_runs()))

    def train(self, progress: "_Progress") -> None:
        """Train what has no model yet: the largest, whose run leaves the others on its way, and what it cannot leave.

        Raises:
            UserError: a cell's folder holds another run, or it cannot be trained.
        """
        for cell in self.cells:
            if Run(self.folder(cell)).finished:
                self._hand_out(self._begin(cell))
        while missing := self._own_runs():
            progress.title = self._title(missing[0])
            self._train(missing[0], progress.part(self._training_work(missing[0])))

    def measure(self, cell: Cell, progress: "_Progress") -> None:
        """Measure a trained cell, or what is left of that; its row stands in cell.json at the end."""
        plan, run = self.scan.plan, Run(self.folder(cell))
        progress.title = self._title(cell)
        measured: dict[str, Json] = {}
        try:
            for objective, exam in plan.tests.items():
                file = f"evaluation-{objective}.json"
                watch = progress.part(len(exam) * self._weight())
                done = (run.path / file).exists()
                measured[objective] = (
                    read_json(run.path / file) if done else measure_run(run, exam, watch, file, plan.device)
                )
        except UserError as error:
            raise UserError(f"{run.name}: {error}") from None
        write_whole(run.path / CELL, json.dumps(_row(self.scan, cell, run.result, measured), indent=2) + "\n")

    def clear(self, cell: Cell) -> None:
        """Delete the weights of a measured cell, if they are not to be kept."""
        if not self.scan.plan.keep_models:
            shutil.rmtree(Run(self.folder(cell)).model, ignore_errors=True)
            shutil.rmtree(Run(self.folder(cell)).kept, ignore_errors=True)

    def _title(self, cell: Cell) -> str:
        return f"model {self.scan.cells.index(cell) + 1} of {len(self.scan.cells)}: {self.folder(cell).name}"

    def _train(self, cell: Cell, watch: Watch) -> None:
        others = sorted(int(other.x) for other in self._untrained() if self._on_the_way(other, cell))
        run = self._begin(cell, others)
        config = cell.config.model_copy(update={"keep_at": tuple(run.head["config"].get("keep_at", ()))})
        plan = self.scan.plan
        try:
            train_run(run, plan.models[cell.model], cell.mixture.preferences, config, watch, plan.device)
        except UserError as error:
            raise UserError(f"{run.name}: {error}") from None
        self._hand_out(run)

    def _begin(self, cell: Cell, others: Sequence[int] = ()) -> Run:
        """The cell's run; one that was begun keeps its own copies, whatever other sizes have come or gone since."""
        head = self.folder(cell) / "config.json"
        config, parents = cell.config.model_dump(mode="json"), _parents(self.scan, cell)
        kept = read_json(head)["config"].get("keep_at") if head.exists() else list(others)
        return Run.begin(self.folder(cell), "pm", config | ({"keep_at": kept} if kept else {}), parents)

    def _hand_out(self, run: Run) -> None:
        """Put the copies that a finished run kept in the place of the cells they are models of."""
        for cell in self._untrained():
            copy = Run(run.kept / str(int(cell.x)))
            if copy.finished:
                self._begin(cell)  # refuses where another run stands
                head = {
                    "kind": "pm",
                    "config": cell.config.model_dump(mode="json"),
                    "parents": _parents(self.scan, cell),
                }
                write_whole(copy.path / "config.json", json.dumps(head, indent=2) + "\n")
                write_card(copy, copy.result, name=self.folder(cell).name)
                replace_folder(copy.path, self.folder(cell))
        if run.kept.exists() and not list(run.kept.iterdir()):
            run.kept.rmdir()

    def _untrained(self) -> list[Cell]:
        return [cell for cell in self.cells if not Run(self.folder(cell)).finished]

    def _own_runs(self) -> list[Cell]:
        """Untrained cells that need a run of their own, the largest first."""
        untrained = sorted(self._untrained(), key=lambda cell: -cell.x)
        return [cell for cell in untrained if cell is untrained[0] or not self._on_the_way(cell, untrained[0])]

    def _on_the_way(self, cell: Cell, larger: Cell) -> bool:
        """Whether a run of the larger one ends an optimiser step there, so that its model then is the cell's."""
        return cell.x < larger.x and cell.x % cell.config.batch_size == 0

    def _training_work(self, cell: Cell) -> int:
        return TRAINING_COST * len(cell.mixture.preferences) * self._weight()

    def _weight(self) -> int:
        """How much larger the curve's model is than the scan's smallest, by the size of its files."""
        sizes = {
            name: max(1, sum(file.stat().st_size for file in folder.glob("*.safetensors")))
            for name, folder in self.scan.plan.models.items()
        }
        return max(1, round(sizes[self.cells[0].model] / min(sizes.values())))


def _write_head(scan: Scan) -> None:
    """Write what the scan is, or make sure that the folder holds this one. Values, models and seeds may be added."""
    plan = scan.plan
    free = {"model", "seed", scan.key}
    asked = {
        "key": scan.key,
        "tests": {objective: _digest(exam) for objective, exam in plan.tests.items()},
        "data": dict(plan.record),
        "config": {key: value for key, value in plan.config.model_dump(mode="json").items() if key not in free},
    }
    path = plan.folder / SCAN
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


def _label(model: str) -> str:
    """A model's name as a part of a path."""
    return Path(model).name


def _parents(scan: Scan, cell: Cell) -> dict[str, str]:
    """What the run was made from. A scan of mixtures has two sources of its own, whatever the files are."""
    counts = cell.mixture.counts
    names = list(Objective) if scan.key == "harmless_share" else [source.name for source in scan.plan.sources]
    mixed = ", ".join(f"{count} of {name}" for count, name in zip(counts, names, strict=True))
    return {**scan.plan.record, "mixed": mixed, "base": cell.model}


def _helpful(cell: Cell) -> int:
    return sum(row.objective == Objective.HELPFUL for row in cell.mixture.preferences)


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


def _row(scan: Scan, cell: Cell, result: Json, measured: Mapping[str, Json]) -> Json:
    """One row of the table."""
    x = int(cell.x) if cell.x.is_integer() else cell.x
    row: Json = {
        scan.key: x,
        "x": x,
        "model": _label(cell.model),
        "seed": cell.config.seed,
        "parameters": next(iter(measured.values()))["parameters"],
        # Of a copy from on the way, as far as its run had to reach over what was dropped.
        "drawn": result.get("drawn", len(cell.mixture.preferences)),
        "drawn_helpful": result.get("drawn_helpful", _helpful(cell)),
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
