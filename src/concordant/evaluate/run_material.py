"""A report's material out of runs, scans and measurements: what was logged, measured and made from what.

A preference model's measurements stand beside its run as evaluation.json and hhh.json; ``concordant evaluate pm`` and
``evaluate hhh`` put them there.
Left out: the store. Whoever has one adds the board and who made the choices.
"""

import json
from collections.abc import Sequence

from concordant.evaluate.report import Material
from concordant.evaluate.report_sources import RUN_KINDS, Sources
from concordant.evaluate.run_table import pm_rows, policy_row
from concordant.models.card import CARD, write_card
from concordant.models.made_model import same_model
from concordant.runs import Json, Run, read_json, write_whole

EVALUATION, HHH = "evaluation.json", "hhh.json"

_SETTINGS = ("objective", "limit", "test_fraction", "mixed", "split", "kept_at")
"""What a run's parents name beside ids: how much of its data was used."""

_MADE = {
    "pmp": ("comparisons", "pairs of answers"),
    "pm": ("comparisons", "comparisons, one epoch"),
    "policy": ("updates", "updates"),
    "distill": ("texts", "texts"),
}
"""Kind of run → what its result counts, in words."""


def save_evaluation(run: Run, evaluation: Json, file: str = EVALUATION) -> None:
    """Put ``PMEvaluation.json()`` beside a run, in place of an earlier one, and its numbers into the model's card.

    Under another name it is a measurement of its own, such as a scan's for one objective, and leaves the card alone.
    """
    write_whole(run.path / file, json.dumps(evaluation, indent=2) + "\n")
    if file == EVALUATION and run.finished and (run.model / CARD).exists():
        write_card(run, run.result, evaluation)


def load_evaluation(run: Run) -> Json | None:
    """A run's last measurement, None where there is none."""
    return read_json(run.path / EVALUATION) if (run.path / EVALUATION).exists() else None


def save_hhh(run: Run, evaluation: Json) -> None:
    """Put ``HHHEvaluation.json()`` beside a run, in place of an earlier one."""
    write_whole(run.path / HHH, json.dumps(evaluation, indent=2) + "\n")


def load_hhh(run: Run) -> Json | None:
    """A run's last HHH evaluation, None where there is none."""
    return read_json(run.path / HHH) if (run.path / HHH).exists() else None


def gather(title: str, sources: Sources) -> Material:
    """What the sources tell; of each kind, the first run is the one that is shown at length."""
    pms, policies = sources.of_kind("pm"), [run for run in sources.of_kind("policy") if run.metrics()]
    pm, policy = next(iter(pms), None), next(iter(policies), None)
    ordered = sorted(sources.runs, key=lambda run: list(RUN_KINDS).index(run.head["kind"]))
    measured = [(run, evaluation) for run in pms if run.finished and (evaluation := load_evaluation(run)) is not None]
    return Material(
        title=title,
        pm=None if pm is None else load_evaluation(pm),
        hhh=None if pm is None else load_hhh(pm),
        pm_metrics=[] if pm is None else pm.metrics(),
        policy=policy.result if policy is not None and policy.finished else None,
        policy_metrics=[] if policy is None else policy.metrics(),
        samples=[] if policy is None else before_and_after(policy.samples("trial")),
        capabilities=_first_result(sources, "capabilities"),
        bias=_first_result(sources, "bias"),
        refusals=_first_result(sources, "refusals"),
        likelihood=_first_result(sources, "likelihood"),
        stages=[_stage(run) for run in ordered if run.finished and "seconds" in run.result],
        lineage=[_origin(run) for run in ordered],
        worker_kinds={} if pm is None or not pm.finished else dict(pm.result.get("worker_kinds", {})),
        shown={kind: _setting(run) for kind, run in (("pm", pm), ("policy", policy)) if run is not None},
        pms=pm_rows(measured),
        policies=[policy_row(run) for run in policies],
        updates={run.name: run.metrics() for run in policies},
        scans=sources.scans,
        best_of=_best_of(sources, policies),
        ood=sources.measured.get("ood"),
        tension=sources.measured.get("tension"),
        shift=sources.measured.get("shift"),
        snapshots=sources.measured.get("snapshots"),
        writers=sources.measured.get("writers"),
    )


def _first_result(sources: Sources, kind: str) -> Json | None:
    """Of the first finished measurement of a kind."""
    return next((run.result for run in sources.of_kind(kind) if run.finished), None)


def _best_of(sources: Sources, policies: Sequence[Run]) -> Json | None:
    """The first finished best-of run, and the policies that were trained against its preference model."""
    for run in sources.of_kind("best-of"):
        if run.finished:
            same = [policy for policy in policies if same_model(_pm_of(policy), _pm_of(run))]
            return {"result": run.result, "policies": {policy.name: policy.metrics() for policy in same}}
    return None


def _pm_of(run: Run) -> str:
    """The preference model behind a run, as it was recorded."""
    return str(run.head["parents"].get("pm", ""))


def _setting(run: Run) -> str:
    """A run's name, and what a reader must know of its settings."""
    config = run.head["config"]
    weights = f"LoRA of rank {config['lora_rank']}" if config.get("lora_rank") else "all weights"
    return f"{run.name}: {run.head['parents'].get('base', 'base not known')}, {weights}, seed {config.get('seed', 0)}"


def before_and_after(rows: Sequence[Json]) -> list[Json]:
    """``{"prompt", "before", "after"}`` of each trial prompt: its first reply at the first and at the last step."""
    if not rows:
        return []
    first, last = min(row["step"] for row in rows), max(row["step"] for row in rows)
    replies: dict[tuple[int, int], Json] = {}
    for row in rows:
        replies.setdefault((row["step"], row["trial"]), row)
    trials = sorted({trial for step, trial in replies if step == first})
    return [
        {
            "prompt": "\n\n".join(
                f"{speaker.capitalize()}: {text}" for speaker, text in replies[first, trial]["prompt"]
            ),
            "before": replies[first, trial]["reply"],
            "after": replies[last, trial]["reply"],
        }
        for trial in trials
        if first != last and (last, trial) in replies
    ]


def _stage(run: Run) -> Json:
    result = run.result
    kind = str(run.head["kind"])
    made, words = _MADE.get(kind, ("", ""))
    detail = f"{result[made]:,} {words}" if made in result else ""
    return {"name": RUN_KINDS[kind], "seconds": float(result["seconds"]), "detail": detail}


def _origin(run: Run) -> Json:
    head = run.head
    return {
        "id": run.name,
        "kind": RUN_KINDS[str(head["kind"])],
        "parents": [str(parent) for role, parent in head["parents"].items() if role not in _SETTINGS],
        "what": ", ".join(f"{role}: {parent}" for role, parent in head["parents"].items()),
    }
