"""What models can do, before and after training, task by task on the same items (paper §4.6.1, Fig. 3, 5, 28, 29).

The folder of a measurement keeps every answer (``answers/``, by the digest of the weights) and every item's result
(``items/``), so a killed one goes on, a later one with more models or tasks asks only what is new, and differences can
be computed again. Multiple choice, LAMBADA and TriviaQA go through lm-eval; TruthfulQA, HHH and HumanEval are ours.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from concordant.errors import UserError
from concordant.evaluate.asked_model import AskedModel, Writing
from concordant.evaluate.benchmark_items import Item
from concordant.evaluate.capability_tasks import PAPER_TASKS, Material, Task, Wording, drawn
from concordant.evaluate.harness import Plan, run_task
from concordant.evaluate.hhh_items import HHHItem, read_hhh
from concordant.evaluate.paired import Measured, table
from concordant.evaluate.pass_at_k import STOPS, passes, run_humaneval
from concordant.models.option_scores import Question
from concordant.runs import Json, Run, Watch, write_whole

_HARNESS_KINDS = ("choice", "word", "answer")


@dataclass(frozen=True, slots=True)
class CapabilityPlan:
    """What is measured.

    Attributes:
        shots: numbers of examples, each measured by itself.
        wording: how questions are put.
        limit: most items of a task, always the same ones.
        programs: how HumanEval's programs are written.
        strict: a task without what it needs is an error; else it is left out, and said so.
    """

    shots: tuple[int, ...] = (0,)
    wording: Wording = "paper"
    limit: int | None = None
    programs: Writing = field(default=Writing(max_new_tokens=300, temperature=0.0, stops=STOPS))
    strict: bool = True


@dataclass(frozen=True, slots=True)
class Part:
    """One task at one number of shots, with what it is measured on."""

    material: Material
    shots: int
    items: list[Item]

    @property
    def task(self) -> Task:
        return self.material.task


def parts_of(materials: Sequence[Material], plan: CapabilityPlan) -> tuple[list[Part], dict[str, str]]:
    """(what can be measured, why the rest cannot).

    Raises:
        UserError: ``plan.strict``, and something cannot; or nothing can.
    """
    parts: list[Part] = []
    left_out: dict[str, str] = {}
    for material in materials:
        task = material.task
        items = drawn(material.items, plan.limit)
        shots = [k for k in plan.shots if k == 0 or task.kind in _HARNESS_KINDS]
        for k in shots:
            why = _lacking(material, items, k)
            if why and plan.strict:
                raise UserError(why)
            if why:
                left_out[f"{task.name}, {k}-shot"] = why
            else:
                parts.append(Part(material, k, items))
        if not shots:
            left_out[task.name] = f"{task.name} is measured without examples only; add 0 to --shots"
    if not parts:
        raise UserError(next(iter(left_out.values()), "no task was named"))
    return parts, left_out


def _lacking(material: Material, items: Sequence[Item], shots: int) -> str | None:
    """Why a task cannot be measured with so many examples."""
    if shots == 0:
        return None
    there = Counter(item.group for item in material.examples)
    least = min((there[group] for group in {item.group for item in items}), default=0)
    if least >= shots:
        return None
    task = material.task
    files = " or ".join(f"{stem}.jsonl" for stem in task.examples if stem not in task.files)
    return (
        f"--shots {shots}: there are {least} examples of {task.name}; put a file of them ({files or 'none is known'}) "
        "into the folder, or ask for fewer"
    )


def measure(run: Run, models: Sequence[AskedModel], parts: Sequence[Part], plan: CapabilityPlan, watch: Watch) -> Json:
    """Ask every model all that is not yet answered, keep each item's result, and compare.

    Args:
        run: the measurement's folder.
        models: the first is what the others are compared with; names differ.
        parts: of ``parts_of``.
        plan: what is measured.
        watch: told of progress in parts; each model tells of its own.
    """
    measured: list[Measured] = []
    more: dict[str, Any] = {}
    total = len(parts) * len(models)
    with run.alone():
        for part in parts:
            found: dict[str, list[Json]] = {}
            clusters: Sequence[str] = ()
            for asked in models:
                watch(len(measured) * len(models) + len(found), total, f"{part.task.name}, {part.shots}-shot")
                found[asked.name], clusters = _ask(asked, part, plan)
                keep_items(run, f"{part.task.name}-{part.shots}", asked.name, found[asked.name])
            measured.append(_measured(part, found, clusters))
            if part.task.kind == "program":
                more[part.task.name] = {name: passes(rows) for name, rows in found.items()}
        watch(total, total, "")
    return table(measured, [asked.name for asked in models]) | {"pass_at_k": more.get("humaneval", {})}


def keep_items(run: Run, part: str, model: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write the result of every item of one part and one model, in place of an earlier one."""
    name = model.strip("/").replace("/", "--")
    write_whole(run.path / "items" / part / f"{name}.jsonl", "".join(json.dumps(dict(row)) + "\n" for row in rows))


def _ask(asked: AskedModel, part: Part, plan: CapabilityPlan) -> tuple[list[Json], Sequence[str]]:
    """(each item's result, which of them belong together)."""
    task = part.task
    if task.kind == "pairs":
        assert part.material.path is not None
        items, _ = read_hhh([part.material.path])
        items = items if plan.limit is None else _some(items, plan.limit)
        return _hhh(asked, items), [item.preference.prompt.split_key for item in items]
    keys = [item.key for item in part.items]
    if task.kind == "one-true":
        return _one_true(asked, part.items), keys
    if task.kind == "program":
        return run_humaneval(asked, part.items, plan.programs, asked.watch), keys
    return run_task(asked, task, Plan(plan.wording, part.shots), part.items, part.material.examples), keys


def _some(items: list[HHHItem], limit: int) -> list[HHHItem]:
    import random

    return (
        items
        if limit >= len(items)
        else [items[k] for k in sorted(random.Random("limit").sample(range(len(items)), limit))]
    )


def _hhh(asked: AskedModel, items: Sequence[HHHItem]) -> list[Json]:
    """Right where the correct reply's mean log-probability of a token is higher (as in the paper's Fig. 34); a tie ½.

    By the sum, short replies would win: that is kept beside it.
    """
    pairs = [item.preference for item in items]
    scores = asked.options([Question(pair.prompt, (pair.chosen, pair.rejected)) for pair in pairs])
    rows = []
    for item, (right, wrong) in zip(items, scores, strict=True):
        gap = right.logprob / right.tokens - wrong.logprob / wrong.tokens
        total = right.logprob - wrong.logprob
        rows.append({
            "item": str(item.number), "group": item.category, "acc": (float(np.sign(gap)) + 1) / 2,
            "acc_total": (float(np.sign(total)) + 1) / 2, "answered": [right.logprob, wrong.logprob],
        })  # fmt: skip
    return rows


def _one_true(asked: AskedModel, items: Sequence[Item]) -> list[Json]:
    """TruthfulQA MC1: right where the true answer has the highest log-probability of all."""
    questions = [
        Question(f"Question: {item.prompt}\nAnswer:", tuple(f" {option}" for option in item.options)) for item in items
    ]
    return [
        {
            "item": item.key,
            "group": item.group,
            "acc": float(max(range(len(scores)), key=lambda place: scores[place].logprob) == item.gold),
            "answered": [score.logprob for score in scores],
        }
        for item, scores in zip(items, asked.options(questions), strict=True)
    ]


def _measured(part: Part, found: Mapping[str, list[Json]], clusters: Sequence[str]) -> Measured:
    metric, first = part.task.metric, next(iter(found.values()))
    if metric not in first[0]:  # MMLU by letters has nothing to normalise
        metric = "acc"
    return Measured(
        part.task.name,
        part.shots,
        metric,
        part.task.chance,
        [row["item"] for row in first],
        clusters,
        {name: np.array([row[metric] for row in rows], dtype=np.float64) for name, rows in found.items()},
    )


def default_tasks() -> tuple[str, ...]:
    """The paper's seven, and its other measures of a policy's abilities but for the one that runs programs."""
    return (*PAPER_TASKS, "truthfulqa", "hhh")
