"""Runs side by side: preference models that differ in their seed alone as one row, and policies, one a row.

All values are JSON, ready for a page. A mean over seeds keeps each seed's own number beside it: the exam is often the
same for all, so the exam's noise moves them together, and only their scatter is what order, draw and initial values do.
"""

import json
from collections.abc import Mapping, Sequence

from concordant.errors import UserError
from concordant.evaluate.frontier import fit_frontier
from concordant.evaluate.report_summary import trial_of
from concordant.parting import find_parting
from concordant.runs import Json, Run

_MEASURED = ("n", "accuracy", "ci95", "nll", "ece", "ties", "collapsed")


def pm_rows(runs: Sequence[tuple[Run, Json]]) -> list[Json]:
    """One row for each group of preference models that differ in their seed alone, in the order given.

    Args:
        runs: each with its ``PMEvaluation.json()``.

    Returns:
        ``{"names", "base", "data", "comparisons", "seeds", "n", "accuracy", "ci95", "accuracies", "nll", "ece",
        "ties", "longer_wins", "collapsed"}``: means over the seeds, the interval's ends too; ``collapsed`` if any is.
    """
    groups: dict[str, list[tuple[Run, Json]]] = {}
    for run, evaluation in runs:
        groups.setdefault(_but_for_the_seed(run, evaluation), []).append((run, evaluation))
    return [_group(members) for members in groups.values()]


def _but_for_the_seed(run: Run, evaluation: Json) -> str:
    config = {name: value for name, value in run.head["config"].items() if name not in ("seed", "checkpoint_seconds")}
    exam = [evaluation["n"], sorted(evaluation["by_file"])]
    return json.dumps([config, run.head["parents"], run.result.get("comparisons"), exam], sort_keys=True)


def _group(members: Sequence[tuple[Run, Json]]) -> Json:
    runs, found = [run for run, _ in members], [evaluation for _, evaluation in members]

    def mean(values: Sequence[float]) -> float:
        return sum(values) / len(values)

    parents = runs[0].head["parents"]
    return {
        "names": [run.name for run in runs],
        "base": str(parents.get("base", "")),
        "data": _data(parents),
        "comparisons": runs[0].result.get("comparisons", 0),
        "seeds": [run.head["config"].get("seed") for run in runs],
        "n": found[0]["n"],
        "accuracy": mean([one["accuracy"] for one in found]),
        "ci95": [mean([one["ci95"][end] for one in found]) for end in (0, 1)],
        "accuracies": [one["accuracy"] for one in found],
        "nll": mean([one["nll"] for one in found]),
        "ece": mean([one["ece"] for one in found]),
        "ties": mean([one["ties"] for one in found]),
        "longer_wins": mean([one["length_baseline"]["longer_wins"] for one in found]),
        "collapsed": any(one["collapsed"] for one in found),
    }


def _data(parents: Mapping[str, str]) -> str:
    """What it learned from, without the hashes: those stand in the lineage."""
    named = [part.partition("@")[0] for part in str(parents.get("data", "")).split(", ")]
    mixed = f" ({parents['mixed']})" if "mixed" in parents else ""
    return ", ".join(named) + mixed


def policy_row(run: Run) -> Json:
    """A policy run: how far it went, what it gained, and whether train and test score parted.

    Returns:
        ``{"name", "pm", "seed", "updates", "samples", "kl", "gain", "gain_se", "test_gain", "slope", "slope_ci95",
        "r2", "parted"}``. Gains are on held-out prompts where the run has such (``gain_se`` None elsewhere); what is
        not known is None.
    """
    rows = run.metrics()
    before, after = trial_of(run.result if run.finished else None) or (rows[0], rows[-1])
    held_out = "n" in after
    try:
        line = fit_frontier(rows)
    except UserError:
        line = None
    tested = all("test_score" in part for part in (before, after))
    parting = find_parting(rows) if any(row.get("test_score") is not None for row in rows) else None
    return {
        "name": run.name,
        "pm": str(run.head["parents"].get("pm", "")).partition("@")[0],
        "seed": run.head["config"].get("seed"),
        "updates": len(rows),
        "samples": rows[-1]["samples"],
        "kl": after["kl"],
        "gain": after["score"] - before["score"],
        "gain_se": (before["score_se"] ** 2 + after["score_se"] ** 2) ** 0.5 if held_out else None,
        "test_gain": after["test_score"] - before["test_score"] if tested else None,
        "slope": None if line is None else line.slope,
        "slope_ci95": None if line is None else list(line.slope_ci95),
        "r2": None if line is None else line.r2,
        "parted": None if parting is None else parting.samples,
    }
