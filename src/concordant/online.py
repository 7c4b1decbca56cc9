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
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from concordant.collect.simulate import Plan, simulate
from concordant.collect.taste import ScriptedTaste
from concordant.comparison import Objective, Preference, split_by_opening
from concordant.config import Section
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.run_material import load_evaluation
from concordant.models.base_models import cache_folder, fetch
from concordant.models.language_model import LanguageModel
from concordant.models.made_model import model_id
from concordant.models.preference_model import PreferenceModel
from concordant.online_report import dataset_id, report_iteration
from concordant.pm_run import measure_run, train_run
from concordant.programme import Programme
from concordant.prompts import Shares, asked
from concordant.runs import Run, Watch
from concordant.store.database import Database
from concordant.store.datasets import NameTaken, freeze, load_dataset
from concordant.store.journal import Journal, finished_steps, last_iteration
from concordant.store.overview import ended_in_study
from concordant.store.preferences import Filter, preferences
from concordant.store.prompt_files import prompts_of
from concordant.store.registry import (
    Snapshot,
    SnapshotKind,
    State,
    active_deployments,
    add_snapshot,
    deploy,
    record_run,
    retire,
    snapshot,
    snapshots,
    standing_deployments,
)
from concordant.train.judging import Judges
from concordant.train.policy import train_policy
from concordant.train_config import PolicyConfig

Json = dict[str, Any]


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
    config = iteration.programme.config
    if config.policy.stop_when_parted:
        raise UserError(
            "policy.stop_when_parted is true, and iterate trains no test preference model; leave it out there"
        )
    with Journal(iteration.db, iteration.number) as journal:
        make = _Maker(iteration, journal)
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
        make(
            "report",
            {"compared": compared["choices"]},
            lambda watch: report_iteration(iteration.programme, iteration.db, iteration.number, journal.finished()),
        )
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
    base, folder = _pm_base(iteration)
    run = _begin(iteration, "pm", config.pm, {"dataset": dataset_id(frozen), "base": base})
    train_run(run, folder, lessons, config.pm, watch)
    evaluation = load_evaluation(run) or measure_run(run, exam, watch)
    _record(iteration, run)
    measured = {key: evaluation[key] for key in ("n", "accuracy", "ci95", "length_baseline", "ece")}
    return {"run": run.name, "trained_on": run.result["comparisons"], **measured}


def _pm_base(iteration: Iteration) -> tuple[str, Path]:
    """(name, folder) of what the PM is trained on: ``[pm] model``, or the first snapshot where that is not given.

    It may be a run of ``train pmp``. A relative path is taken from the programme's folder.

    Raises:
        UserError: there is no such model.
    """
    config = iteration.programme.config.pm
    if "model" not in config.model_fields_set:
        return _base(iteration).label, Path(_base(iteration).spec["folder"])
    inside = iteration.programme.path / config.model
    folder = fetch(str(inside) if inside.is_dir() else config.model, cache_folder())
    return model_id(inside if inside.is_dir() else config.model), folder


def _policy(iteration: Iteration, frozen: Json, pm: Json, watch: Watch) -> Json:
    """Train a policy from the first snapshot against the PM, on the prompts that the PM was trained on."""
    config = iteration.programme.config
    parents = {"pm": pm["run"], "prompts": dataset_id(frozen), "base": _base(iteration).label}
    run = _begin(iteration, "policy", config.policy, parents)
    if not run.finished:
        prompts = _prompts(_split(iteration, frozen)[0], config.policy)
        base = LanguageModel.load(Path(_base(iteration).spec["folder"]))
        judges = Judges(PreferenceModel.load(iteration.programme.runs / pm["run"]))
        train_policy(run, base, judges, prompts, config.policy, watch)
    _record(iteration, run)
    return {"run": run.name, "before": run.result["before"], "after": run.result["after"]}


def _deploy(iteration: Iteration, policy: Json) -> Json:
    """Put the new snapshot beside the newest one before it; the older ones go.

    Raises:
        UserError: somebody stopped the one before it; no program undoes that.
    """
    db, base = iteration.db, _base(iteration)
    run = iteration.programme.runs / policy["run"]
    spec = {"folder": base.spec["folder"], "adapter": str((run / "model").resolve())}
    old = _newest_before(iteration)
    new = add_snapshot(db, policy["run"], SnapshotKind.MODEL, spec, run=policy["run"], parents=(base.id,))
    held = [one.state for one in standing_deployments(db) if one.snapshot.id == old.id and one.state is not State.LIVE]
    if held:
        raise UserError(
            f"{old.label!r} was {'stopped' if State.STOPPED in held else 'drained'}, and the new policy is compared "
            "with it; make it live again "
            f"('concordant deploy add {old.label}') and start this again"
        )
    for kept in (old, new):
        deploy(db, kept.id, 1.0)
    for deployment in active_deployments(db):
        # What staff deployed besides, an endpoint or people's replies, is theirs to retire.
        if deployment.snapshot.kind is SnapshotKind.MODEL and deployment.snapshot.id not in (old.id, new.id):
            retire(db, deployment.id)
    return {"snapshot": new.label, "deployed": {"old": old.label, "new": new.label}}


def _split(iteration: Iteration, frozen: Json) -> tuple[list[Preference], list[Preference]]:
    """(for training, for the PM's exam): no opening in both, and an opening never changes sides."""
    return split_by_opening(
        load_dataset(Path(frozen["path"])), iteration.programme.config.iterate.test_fraction, salt="exam"
    )


def _prompts(lessons: list[Preference], config: PolicyConfig) -> dict[Conversation, Objective | None]:
    """The distinct prompts, replies removed (paper B.1), in the config's shares, each with its objective."""
    drawn, _ = asked(prompts_of(lessons), Shares(config.model_share, config.harmless_share), config.seed)
    return {prompt.conversation: prompt.objective for prompt in drawn}


def _begin(iteration: Iteration, kind: str, config: Section, parents: dict[str, str]) -> Run:
    path = iteration.programme.runs / f"{kind}-{iteration.number}"
    return Run.begin(path, kind, config.model_dump(mode="json"), parents)


def _record(iteration: Iteration, run: Run) -> None:
    head = run.head
    record_run(iteration.db, run.name, head["kind"], str(run.path.resolve()), head["parents"], run.result)


def _parents(frozen: Json, config: Section) -> Json:
    return {"dataset": frozen["digest"], "config": config.model_dump(mode="json")}


def _base(iteration: Iteration) -> Snapshot:
    """The programme's first model, from which every policy starts."""
    return next(one for one in snapshots(iteration.db) if one.kind is SnapshotKind.MODEL)


def _newest_before(iteration: Iteration) -> Snapshot:
    """The policy of the iteration before this one, or the base model."""
    if iteration.number == 1:
        return _base(iteration)
    return snapshot(iteration.db, f"policy-{iteration.number - 1}")


def unfinished_iteration(db: Database) -> int:
    """Number of the iteration to go on with: the last one begun if its report is missing, else the next."""
    last = last_iteration(db)
    return last if last and "report" not in finished_steps(db, last) else last + 1
