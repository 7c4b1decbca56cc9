"""A report's material out of the folders of runs: what was logged, measured and made from what.

A preference model's measurements stand beside its run as evaluation.json and hhh.json; ``concordant evaluate pm`` and
``evaluate hhh`` put them there.
Left out: the store. Whoever has one adds the board and who made the choices.
"""

import json
from collections.abc import Sequence

from concordant.errors import UserError
from concordant.evaluate.report import Material
from concordant.models.card import CARD, write_card
from concordant.runs import Json, Run, read_json, write_whole

EVALUATION, HHH = "evaluation.json", "hhh.json"

_SETTINGS = ("objective", "limit", "test_fraction", "mixed", "split", "kept_at")
"""What a run's parents name beside ids: how much of its data was used."""

_KINDS = {"pm": "preference model", "policy": "policy", "capabilities": "capabilities"}


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


def gather(title: str, runs: Sequence[Run]) -> Material:
    """Material of at most one preference-model run, one policy run and one measurement of capabilities.

    Raises:
        UserError: two runs of a kind, or a folder of something else.
    """
    by_kind: dict[str, Run] = {}
    for run in runs:
        kind = str(run.head.get("kind"))
        if kind not in _KINDS:
            raise UserError(
                f"{run.path} is no run of a preference model or policy, and no measurement of capabilities; give the "
                "folder of one"
            )
        if kind in by_kind:
            raise UserError(f"{by_kind[kind].path} and {run.path} are both {_KINDS[kind]} runs; give one of a kind")
        by_kind[kind] = run
    pm, policy, able = (by_kind.get(kind) for kind in _KINDS)
    ordered = [run for run in (pm, policy) if run is not None]
    return Material(
        title=title,
        pm=None if pm is None else load_evaluation(pm),
        hhh=None if pm is None else load_hhh(pm),
        pm_metrics=[] if pm is None else pm.metrics(),
        policy=policy.result if policy is not None and policy.finished else None,
        policy_metrics=[] if policy is None else policy.metrics(),
        samples=[] if policy is None else before_and_after(policy.samples("trial")),
        capabilities=able.result if able is not None and able.finished else None,
        stages=[_stage(run) for run in ordered if run.finished and "seconds" in run.result],
        lineage=[_origin(run) for run in ordered],
        worker_kinds={} if pm is None or not pm.finished else dict(pm.result.get("worker_kinds", {})),
    )


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
    made = {"pm": ("comparisons", "comparisons, one epoch"), "policy": ("updates", "updates")}[kind]
    detail = f"{result[made[0]]:,} {made[1]}" if made[0] in result else ""
    return {"name": _KINDS[kind], "seconds": float(result["seconds"]), "detail": detail}


def _origin(run: Run) -> Json:
    head = run.head
    return {
        "id": run.name,
        "kind": _KINDS[str(head["kind"])],
        "parents": [str(parent) for role, parent in head["parents"].items() if role not in _SETTINGS],
        "what": ", ".join(f"{role}: {parent}" for role, parent in head["parents"].items()),
    }
