"""One turn of the online loop (paper §4.5): the only place that closes the circle.

collect → freeze → preference model → policy → deploy → compare → report. Each step reads what is fixed by id, writes
something new with a new id, and is journalled in the store, so a second start goes on after the last finished step;
the long steps go on inside themselves. As in the paper, the PM and the policy are trained from the start each time, on
all data so far.
"""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from concordant.collect.simulate import Plan, simulate
from concordant.collect.taste import ScriptedTaste
from concordant.comparison import Objective, Preference, split_by_opening
from concordant.config import Section
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.elo import board, games_from_preferences
from concordant.evaluate.report import write_report
from concordant.evaluate.run_material import gather, load_evaluation
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.pm_run import measure_run, train_run
from concordant.programme import Programme
from concordant.runs import Run, Watch
from concordant.store.database import Database
from concordant.store.datasets import NameTaken, freeze, load_dataset
from concordant.store.journal import Journal, finished_steps, last_iteration
from concordant.store.overview import ended_in_study
from concordant.store.preferences import Filter, counts, preferences
from concordant.store.registry import (
    Snapshot,
    SnapshotKind,
    active_deployments,
    add_snapshot,
    deploy,
    record_run,
    retire,
    snapshot,
    snapshots,
)
from concordant.train.judging import Judges
from concordant.train.policy import train_policy

Json = dict[str, Any]

_KINDS = {"person": "people", "scripted": "scripted workers", "simulated": "simulated workers"}


@runtime_checkable
class Stages(Protocol):
    """Shows the stages of an iteration as they run."""

    def stage(self, name: str) -> AbstractContextManager[Watch]:
        """Within it, the stage called ``name`` runs; its progress goes to the watch."""
        ...


@dataclass(frozen=True, slots=True)
class Iteration:
    """What an iteration works with.

    Attributes:
        programme: folder and config.
        db: the programme's store.
        number: 1, 2, …
        url: where the programme's pages are served; simulated workers go there.
        stages: shows progress.
    """

    programme: Programme
    db: Database
    number: int
    url: str
    stages: Stages


def iterate(iteration: Iteration) -> dict[str, Json]:
    """Make one iteration, or what is left of it; returns the outputs of its steps by name.

    Raises:
        UserError: a step cannot be done with what there is; what was finished stays finished.
    """
    with Journal(iteration.db, iteration.number) as journal:
        make = _Maker(iteration, journal)
        config = iteration.programme.config
        settings = config.iterate.model_dump(mode="json")
        wanted = {name: settings[name] for name in ("conversations", "sharpness", "workers")}
        collected = make("collect", wanted, lambda watch: _collect(iteration, watch))
        frozen = make("freeze", {"choices": collected["choices"]}, lambda watch: _freeze(iteration))
        cut = {"test_fraction": config.iterate.test_fraction}
        pm = make("pm", {**cut, **_parents(frozen, config.pm)}, lambda watch: _pm(iteration, frozen, watch))
        policy = make(
            "policy",
            {"pm": pm["run"], **_parents(frozen, config.policy)},
            lambda watch: _policy(iteration, frozen, pm, watch),
        )
        deployed = make("deploy", {"policy": policy["run"]}, lambda watch: _deploy(iteration, policy))
        between = {**deployed["deployed"], "conversations": config.iterate.board_conversations}
        compared = make("compare", between, lambda watch: _compare(iteration, watch))
        make("report", {"compared": compared["choices"]}, lambda watch: _report(iteration, journal, pm, policy))
        return journal.finished()


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes a step once, and shows it."""

    iteration: Iteration
    journal: Journal

    def __call__(self, name: str, inputs: Json, work: Callable[[Watch], Json]) -> Json:
        def timed() -> Json:
            began = time.monotonic()
            with self.iteration.stages.stage(name) as watch:
                outputs = work(watch)
            return {**outputs, "seconds": round(time.monotonic() - began, 1)}

        return self.journal.step(name, inputs, timed)


def _collect(iteration: Iteration, watch: Watch) -> Json:
    """Conversations with what is deployed now, by scripted workers, until the iteration has its number."""
    wanted = iteration.programme.config.iterate.conversations
    deployed = sorted(deployment.snapshot.label for deployment in active_deployments(iteration.db))
    return {**_simulate(iteration, f"iteration-{iteration.number}", wanted, watch), "deployed": deployed}


def _compare(iteration: Iteration, watch: Watch) -> Json:
    """Conversations in which every comparison is between the new snapshot and the one before."""
    wanted = iteration.programme.config.iterate.board_conversations
    return _simulate(iteration, f"board:iteration-{iteration.number}", wanted, watch)


def _simulate(iteration: Iteration, study: str, wanted: int, watch: Watch) -> Json:
    config = iteration.programme.config
    done = ended_in_study(iteration.db, study)
    if done < wanted:
        plan = Plan(
            url=iteration.url,
            conversations=wanted - done,
            objectives=_objectives(config.collect.red_team_share),
            study=study,
            workers=config.iterate.workers,
            # A run that goes on draws anew, so that its workers do not repeat what was said.
            taste=ScriptedTaste(config.iterate.sharpness, seed=config.seed + 1000 * iteration.number + done),
        )
        watch(done, wanted, "")
        simulate(
            iteration.db,
            config.collect,
            plan,
            lambda ended, choices: watch(done + ended, wanted, f"{choices} choices"),
        )
    chosen = [found for _, found in preferences(iteration.db, Filter(study=study, keep_weakest=True))]
    kinds = Counter(str(preference.worker_kind) for preference in chosen)
    return {"study": study, "conversations": wanted, "choices": len(chosen), "worker_kinds": dict(kinds)}


def _objectives(red_team_share: float) -> tuple[Objective, ...]:
    """Objectives in turn, about as many of them harmless as the share says."""
    if red_team_share in (0.0, 1.0):
        return (Objective.HARMLESS,) if red_team_share else (Objective.HELPFUL,)
    usual, rare = (Objective.HELPFUL, Objective.HARMLESS)
    if red_team_share > 0.5:
        usual, rare = rare, usual
    return (*[usual] * (round(1 / min(red_team_share, 1 - red_team_share)) - 1), rare)


def _freeze(iteration: Iteration) -> Json:
    """All choices so far, of this iteration and of those before it, as an immutable data set.

    Raises:
        UserError: they are too few to learn from and to be examined on; nothing is fixed, and more can be collected.
    """
    for attempt in count(1):
        # A start that was killed before its journal row, or a person, may have taken the name; choices may have come.
        name = f"iteration-{iteration.number}" + (f".{attempt}" if attempt > 1 else "")
        with suppress(NameTaken):
            frozen = freeze(iteration.db, name, Filter(), iteration.programme.datasets)
            break
    outputs = {"dataset": frozen.name, "digest": frozen.digest, "path": str(frozen.path)}
    lessons, exam = _split(iteration, outputs)
    if not lessons or not exam:
        openings = len({preference.prompt.split_key for preference in [*lessons, *exam]})
        raise UserError(
            f"iteration {iteration.number}: all {len(lessons) + len(exam)} comparisons begin with one of {openings} "
            "messages, too few to both train a preference model and examine it; collect more ('concordant serve', "
            "'concordant simulate') and start this again"
        )
    counts = frozen.counts
    return {**outputs, "comparisons": counts["taken"], "worker_kinds": counts["worker_kinds"]}


def _pm(iteration: Iteration, frozen: Json, watch: Watch) -> Json:
    """Train a PM on the data set, and measure it on the openings that it never saw."""
    config = iteration.programme.config
    lessons, exam = _split(iteration, frozen)
    run = _begin(iteration, "pm", config.pm, {"dataset": _dataset_id(frozen), "base": _base(iteration).label})
    train_run(run, Path(_base(iteration).spec["folder"]), lessons, config.pm, watch)
    evaluation = load_evaluation(run) or measure_run(run, exam, watch)
    _record(iteration, run)
    measured = {key: evaluation[key] for key in ("n", "accuracy", "ci95", "length_baseline", "ece")}
    return {"run": run.name, "trained_on": run.result["comparisons"], **measured}


def _policy(iteration: Iteration, frozen: Json, pm: Json, watch: Watch) -> Json:
    """Train a policy from the first snapshot against the PM, on the prompts that the PM was trained on."""
    config = iteration.programme.config
    parents = {"pm": pm["run"], "prompts": _dataset_id(frozen), "base": _base(iteration).label}
    run = _begin(iteration, "policy", config.policy, parents)
    if not run.finished:
        prompts = _prompts(_split(iteration, frozen)[0])
        base = LanguageModel.load(Path(_base(iteration).spec["folder"]))
        judges = Judges(PreferenceModel.load(iteration.programme.runs / pm["run"]))
        train_policy(run, base, judges, prompts, config.policy, watch)
    _record(iteration, run)
    return {"run": run.name, "before": run.result["before"], "after": run.result["after"]}


def _deploy(iteration: Iteration, policy: Json) -> Json:
    """Put the new snapshot beside the newest one before it; the older ones go."""
    db, base = iteration.db, _base(iteration)
    run = iteration.programme.runs / policy["run"]
    spec = {"folder": base.spec["folder"], "adapter": str((run / "model").resolve())}
    old = _newest_before(iteration)
    new = add_snapshot(db, policy["run"], SnapshotKind.MODEL, spec, run=policy["run"], parents=(base.id,))
    for kept in (old, new):
        deploy(db, kept.id, 1.0)
    for deployment in active_deployments(db):
        if deployment.snapshot.id not in (old.id, new.id):
            retire(db, deployment.id)
    return {"snapshot": new.label, "deployed": {"old": old.label, "new": new.label}}


def _report(iteration: Iteration, journal: Journal, pm: Json, policy: Json) -> Json:
    """Fit Elo over every helpful comparison between snapshots so far, and write the report."""
    db, programme = iteration.db, iteration.programme
    judged = Filter(objective=Objective.HELPFUL, sources="store", keep_weakest=True)
    chosen = [preference for _, preference in preferences(db, judged)]
    weakest = sum(preference.is_weakest and len(set(preference.models or ())) == 2 for preference in chosen)
    games = games_from_preferences(chosen)
    material = gather(
        f"Iteration {iteration.number}", [Run.open(programme.runs / name) for name in (pm["run"], policy["run"])]
    )
    steps = journal.finished()
    kinds: dict[str, int] = {}
    for group in counts(db):
        kinds[group["worker_kind"]] = kinds.get(group["worker_kind"], 0) + group["n"]
    material = replace(
        material,
        generated=f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC",
        command=f"concordant iterate --dir {programme.path.name}",
        worker_kinds=kinds,
        stages=[{"name": name, "seconds": step["seconds"], "detail": _detail(step)} for name, step in steps.items()],
        lineage=_lineage(iteration, steps, material.lineage),
    )
    outputs: Json = {}
    try:
        outputs["board"] = board(games, _base(iteration).label, {"weakest strength": weakest}).json()
        material = replace(material, board=outputs["board"])
    except UserError as error:
        outputs["no_board"] = str(error)
        material = replace(material, no_board=str(error))
    write_report(material, programme.path / "report")
    return {**outputs, "worker_kinds": kinds}


def _detail(step: Json) -> str:
    """A step's outcome in a few words."""
    if "choices" in step:
        return f"{step['choices']} choices in {step['conversations']} conversations, by {by_kind(step)}"
    if "accuracy" in step:
        return f"{step['trained_on']} comparisons, {100 * step['accuracy']:.0f} % right on {step['n']} others"
    if step.get("after"):
        return f"score {step['before']['score']:+.2f} → {step['after']['score']:+.2f}, KL {step['after']['kl']:.1f}"
    return str(step.get("dataset") or step.get("snapshot") or "")


def by_kind(step: Json) -> str:
    """Who chose, in a step's outputs: "scripted workers"; with numbers where there are several kinds."""
    kinds = {_KINDS.get(kind, "workers of an unknown kind"): number for kind, number in step["worker_kinds"].items()}
    if len(kinds) < 2:
        return next(iter(kinds), "nobody")
    return ", ".join(f"{number} by {kind}" for kind, number in sorted(kinds.items()))


def _lineage(iteration: Iteration, steps: dict[str, Json], runs: Any) -> list[Json]:
    """From the comparisons to the snapshot: every id with its parents."""
    frozen, base = steps["freeze"], _base(iteration).label
    first = [
        {"id": base, "kind": "base model", "parents": [], "what": "the first snapshot"},
        {
            "id": _dataset_id(frozen),
            "kind": "data set",
            "parents": [base],
            "what": f"{frozen['comparisons']} comparisons so far, by {by_kind(frozen)}",
        },
    ]
    new = steps["deploy"]["snapshot"]
    return [*first, *runs, {"id": f"snapshot {new}", "kind": "snapshot", "parents": [new], "what": "deployed"}]


def _split(iteration: Iteration, frozen: Json) -> tuple[list[Preference], list[Preference]]:
    """(for training, for the PM's exam): no opening in both, and an opening never changes sides."""
    return split_by_opening(
        load_dataset(Path(frozen["path"])), iteration.programme.config.iterate.test_fraction, salt="exam"
    )


def _prompts(lessons: list[Preference]) -> dict[Conversation, Objective | None]:
    """The distinct prompts, replies removed (paper B.1), in the order of the data set, each with its objective."""
    return {preference.prompt: preference.objective for preference in lessons}


def _begin(iteration: Iteration, kind: str, config: Section, parents: dict[str, str]) -> Run:
    path = iteration.programme.runs / f"{kind}-{iteration.number}"
    return Run.begin(path, kind, config.model_dump(mode="json"), parents)


def _record(iteration: Iteration, run: Run) -> None:
    head = run.head
    record_run(iteration.db, run.name, head["kind"], str(run.path.resolve()), head["parents"], run.result)


def _parents(frozen: Json, config: Section) -> Json:
    return {"dataset": frozen["digest"], "config": config.model_dump(mode="json")}


def _dataset_id(frozen: Json) -> str:
    return f"{frozen['dataset']}@{frozen['digest'][:12]}"


def _base(iteration: Iteration) -> Snapshot:
    """The programme's first snapshot, from which every policy starts."""
    return snapshots(iteration.db)[0]


def _newest_before(iteration: Iteration) -> Snapshot:
    """The policy of the iteration before this one, or the base model."""
    if iteration.number == 1:
        return _base(iteration)
    return snapshot(iteration.db, f"policy-{iteration.number - 1}")


def unfinished_iteration(db: Database) -> int:
    """Number of the iteration to go on with: the last one begun if its report is missing, else the next."""
    last = last_iteration(db)
    return last if last and "report" not in finished_steps(db, last) else last + 1
