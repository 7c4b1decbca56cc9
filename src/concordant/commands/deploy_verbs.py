"""``concordant deploy add | list | weight | drain | stop | retire``: what people meet, and how often (paper §2.3).

A policy, the best of k of one, a model behind an OpenAI-compatible endpoint, or replies that people wrote.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.data_selection import OBJECTIVES
from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.models.made_model import MadeModel
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.registry import Deployment, Snapshot


def add(verbs: Verbs) -> None:
    """Add the verb ``deploy``."""
    deploy: Verbs = verbs.add_parser("deploy", help="which models people meet").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    put = deploy.add_parser("add", help="put a snapshot before the workers, or back before them")
    put.add_argument(
        "snapshot", nargs="?", metavar="SNAPSHOT", help="a snapshot's label, a finished run's folder, or RUN/kept/N"
    )
    put.add_argument("--best-of", type=int, metavar="K", help="the best of K replies by --pm (paper: mostly 16)")
    put.add_argument("--pm", type=Path, metavar="RUN", help="the preference model that chooses")
    put.add_argument(
        "--endpoint", metavar="URL", help="base URL of an OpenAI-compatible server, as http://HOST:8000/v1"
    )
    put.add_argument("--model", metavar="NAME", help="the model's name at the endpoint")
    put.add_argument("--key-env", metavar="VAR", help="NAME of the environment variable that holds the endpoint's key")
    put.add_argument(
        "--written", type=Path, metavar="FILE", help="JSON lines {prompt, reply, writer}: people's replies"
    )
    put.add_argument("--label", metavar="L", help="name of the endpoint or file on boards and in exports")
    put.add_argument("--weight", type=float, default=1.0, metavar="W", help="how often it is drawn (default 1)")
    shown = deploy.add_parser("list", help="what is deployed, and how it does")
    weight = deploy.add_parser("weight", help="draw a deployment more often, or less")
    drain = deploy.add_parser("drain", help="ask nothing new of a deployment; what was asked is written to the end")
    stop = deploy.add_parser("stop", help="stop a deployment at once; what waits for it goes to another")
    retire = deploy.add_parser("retire", help="take a snapshot away from the workers; what it wrote stays")
    for parser in (weight, drain, stop, retire):
        parser.add_argument("snapshot", metavar="SNAPSHOT", help="its label")
    weight.add_argument("weight", type=float, metavar="W", help="relative to the other deployments; above 0")
    for parser in (put, weight, drain, stop, retire):
        which = "only in these conversations (default: in both)" if parser is put else "only its deployment for these"
        parser.add_argument("--objective", choices=OBJECTIVES, help=which)
    verbs_of = ((put, add_), (shown, list_), (weight, weight_), (drain, drain_), (stop, stop_), (retire, retire_))
    for parser, run in verbs_of:
        add_programme(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def add_(args: argparse.Namespace) -> Outcome:
    from concordant.comparison import Objective
    from concordant.store.registry import deploy

    if (args.best_of is None) != (args.pm is None):
        raise UserError("--best-of K and --pm RUN go together: the preference model chooses the best")
    if [args.snapshot, args.endpoint, args.written].count(None) != 2:
        raise UserError("give one of SNAPSHOT, --endpoint URL and --written FILE")
    if (args.endpoint is None) != (args.model is None) or (args.endpoint is None and args.key_env is not None):
        raise UserError("--endpoint URL and --model NAME go together, and --key-env VAR belongs to them")
    if args.label is not None and args.snapshot is not None:
        raise UserError("--label names an endpoint or a file; a snapshot has its label already")
    if args.written is not None and args.best_of is not None:
        raise UserError("--best-of draws several replies, and people wrote one; leave one of the two out")
    said = ""
    with opened(args) as (programme, db):
        if args.endpoint is not None:
            found = _endpoint(db, args)
        elif args.written is not None:
            found, said = _written(db, args.written, args.label)
        else:
            found = _snapshot(programme, db, args.snapshot)
        if args.best_of is not None:
            found = _best_of(db, found, args.best_of, args.pm)
        done = deploy(db, found.id, args.weight, Objective(args.objective) if args.objective else None)
    return Outcome(_line(done) + said, _json(done))


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.deployment_counts import counts_of
    from concordant.store.registry import standing_deployments

    with opened(args) as (_, db):
        found = standing_deployments(db)
        counts = counts_of(db, found)
    lines, rows = [], []
    for one in found:
        own = counts[one.id]
        took = "" if own.seconds is None else f", {own.seconds:g} s each (median)"
        lines.append(f"{_line(one)}; {own.replies} replies{took}, {own.failures} failures, {own.waiting} waiting")
        measured = ("replies", "failures", "waiting", "seconds", "given")
        rows.append({**_json(one), **{name: getattr(own, name) for name in measured}})
    text = "\n".join(lines) or "nothing is deployed; 'concordant serve' deploys the programme's model"
    return Outcome(text, {"deployments": rows})


def weight_(args: argparse.Namespace) -> Outcome:
    from concordant.store.registry import State, deploy

    with opened(args) as (_, db):
        found = _chosen(db, args)
        for one in found:
            if one.state is not State.LIVE:
                raise UserError(f"{_line(one)}: nothing is drawn from it; 'concordant deploy add' makes it live again")
        done = [deploy(db, one.snapshot.id, args.weight, one.objective) for one in found]
    return Outcome("\n".join(map(_line, done)), {"deployments": [_json(one) for one in done]})


def drain_(args: argparse.Namespace) -> Outcome:
    from concordant.store.registry import drain

    return _each(args, "drained", drain)


def stop_(args: argparse.Namespace) -> Outcome:
    import random

    from concordant.collect.assignment import redraw
    from concordant.store.kill_switch import stop

    with opened(args) as (_, db):
        found = _chosen(db, args)
        rescued = [stop(db, one.id, redraw(random.SystemRandom())) for one in found]
    redrawn, failed = sum(one.redrawn for one in rescued), sum(one.failed for one in rescued)
    return Outcome(
        f"{found[0].snapshot.label} is stopped; of the replies that waited for it, {redrawn} go to another deployment, "
        f"{failed} can be asked for again",
        {"stopped": [_json(one) for one in found], "redrawn": redrawn, "failed": failed},
    )


def retire_(args: argparse.Namespace) -> Outcome:
    from concordant.store.registry import retire

    return _each(args, "retired", retire)


def _each(args: argparse.Namespace, done: str, act: "Callable[[Database, str], None]") -> Outcome:
    with opened(args) as (_, db):
        found = _chosen(db, args)
        for one in found:
            act(db, one.id)
    return Outcome(f"{found[0].snapshot.label} is {done}", {done: [_json(one) for one in found]})


def _chosen(db: "Database", args: argparse.Namespace) -> "list[Deployment]":
    """The deployments of the snapshot named, all of them or the one for an objective."""
    from concordant.store.registry import snapshot, standing_deployments

    label = snapshot(db, args.snapshot).label
    found = [one for one in standing_deployments(db) if one.snapshot.label == label]
    if args.objective is not None:
        found = [one for one in found if one.objective == args.objective]
    if not found:
        raise UserError(f"snapshot {label!r} is not deployed; see 'concordant deploy list'")
    return found


def _endpoint(db: "Database", args: argparse.Namespace) -> "Snapshot":
    from concordant.endpoint_sampler import endpoint_spec
    from concordant.store.registry import SnapshotKind, add_snapshot

    spec = endpoint_spec(args.endpoint, args.model, args.key_env)
    return add_snapshot(db, args.label or f"{spec['model']} at {spec['url']}", SnapshotKind.ENDPOINT, spec)


def _written(db: "Database", file: Path, label: str | None) -> "tuple[Snapshot, str]":
    from concordant.store.written import add_written, read_written

    found = read_written(file)
    made = add_written(db, label or f"people: {file.name}", file.name, found)
    dropped = "".join(f"; dropped {number}: {reason}" for reason, number in sorted(found.dropped.items()))
    return made, f"; {len(found.rows)} written replies{dropped}"


def _snapshot(programme: "Programme", db: "Database", name: str) -> "Snapshot":
    """A snapshot of the store by its label, or that of a policy run, which is registered if it is not."""
    from concordant.models.made_model import adapter_base
    from concordant.serving_models import ensure_base
    from concordant.store.registry import SnapshotKind, add_snapshot, record_run, snapshot, snapshots

    base = ensure_base(programme, db)
    path = Path(name)
    if any(name in (known.label, known.id) for known in snapshots(db)) or not path.is_dir():
        return snapshot(db, name)
    made = _deployable(path)
    assert made.run is not None
    folder = made.folder.resolve() if made.adapter is None else adapter_base(made.adapter)
    spec = {"folder": str(folder), "adapter": None if made.adapter is None else str(made.folder.resolve())}
    where, result = (made.folder, made.note) if made.step else (made.run.path, made.run.result)
    record_run(db, made.name, made.kind, str(where.resolve()), made.parents, result)
    return add_snapshot(db, made.name, SnapshotKind.MODEL, spec, run=made.name, parents=(base.id,))


def _deployable(path: Path) -> "MadeModel":
    """A policy or distilled model that changes no more: at the end of its run, or kept on the way.

    Raises:
        UserError: something else stands there.
    """
    from concordant.models.made_model import MadeModel, is_run

    made = MadeModel.at(path)
    if made is not None and made.run is not None and made.kind in ("policy", "distill") and made.ready:
        return made
    if is_run(path) or made is not None:
        raise UserError(
            f"{path} is no finished policy run, nor a snapshot that one kept, nor a distilled model; give one, or the "
            "label of a snapshot"
        )
    raise UserError(f"{path} is a model and no run; a programme begins with a model and meets policies by their run")


def _best_of(db: "Database", of: "Snapshot", k: int, pm: Path) -> "Snapshot":
    """The snapshot that is the best of k replies of another one."""
    from concordant.models.made_model import is_preference_model, model_id
    from concordant.store.registry import SnapshotKind, add_snapshot, snapshots

    if k < 2:
        raise UserError(f"--best-of {k} leaves nothing to choose; give 2 or more")
    if not is_preference_model(pm):
        raise UserError(f"{pm} holds no preference model; give the run of 'concordant train pm'")
    if of.kind is SnapshotKind.BEST_OF_K:
        raise UserError(f"{of.label!r} is a best-of-k already; give the snapshot below it")
    label = f"{of.label} best of {k} by {model_id(pm)}"
    if label not in {known.label for known in snapshots(db)}:
        _try_out(pm)
    return add_snapshot(
        db, label, SnapshotKind.BEST_OF_K, {"of": of.id, "pm": str(pm.resolve()), "k": k}, parents=(of.id,)
    )


def _try_out(pm: Path) -> None:
    """Load the preference model and have it score something, so that what is wrong with it is said here and now, and
    not by replies that fail."""
    import math

    from concordant.conversation import Conversation
    from concordant.models.preference_model import PreferenceModel

    scores = PreferenceModel.load(pm).score(Conversation().human("Hello."), ["Hello! How can I help?", "No."])
    if not all(map(math.isfinite, scores)):
        raise UserError(f"{pm} scores {scores[0]}, which is no number to choose by; train it again")


def _line(deployment: "Deployment") -> str:
    from concordant.store.registry import State

    where = f"{deployment.objective} conversations" if deployment.objective else "all conversations"
    state = "" if deployment.state is State.LIVE else f", {deployment.state}"
    return f"{deployment.snapshot.label}: weight {deployment.weight:g}, in {where}{state}"


def _json(deployment: "Deployment") -> dict[str, object]:
    snapshot = deployment.snapshot
    return {
        "id": deployment.id,
        "snapshot": snapshot.label,
        "kind": snapshot.kind.value,
        "state": deployment.state.value,
        "weight": deployment.weight,
        "objective": deployment.objective,
        "k": snapshot.spec.get("k"),
    }
