"""``concordant deploy add | list | retire``: what people meet, a policy or the best of k of one (paper §2.3)."""

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.data_selection import OBJECTIVES
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
    put = deploy.add_parser("add", help="put a snapshot before the workers, by itself or as the best of k replies")
    put.add_argument("snapshot", metavar="SNAPSHOT", help="a snapshot's label, a finished run's folder, or RUN/kept/N")
    put.add_argument("--best-of", type=int, metavar="K", help="the best of K replies by --pm (paper: mostly 16)")
    put.add_argument("--pm", type=Path, metavar="RUN", help="the preference model that chooses")
    put.add_argument("--weight", type=float, default=1.0, metavar="W", help="how often it is drawn (default 1)")
    put.add_argument("--objective", choices=OBJECTIVES, help="only in these conversations (default: in both)")
    shown = deploy.add_parser("list", help="what is deployed now")
    retire = deploy.add_parser("retire", help="take a snapshot away from the workers; what it wrote stays")
    retire.add_argument("snapshot", metavar="SNAPSHOT", help="its label")
    for parser, run in ((put, add_), (shown, list_), (retire, retire_)):
        add_programme(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def add_(args: argparse.Namespace) -> Outcome:
    from concordant.comparison import Objective
    from concordant.store.registry import deploy

    if (args.best_of is None) != (args.pm is None):
        raise UserError("--best-of K and --pm RUN go together: the preference model chooses the best")
    with _opened(args) as (programme, db):
        found = _snapshot(programme, db, args.snapshot)
        if args.best_of is not None:
            found = _best_of(db, found, args.best_of, args.pm)
        done = deploy(db, found.id, args.weight, Objective(args.objective) if args.objective else None)
    return Outcome(_line(done), _json(done))


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.registry import active_deployments

    with _opened(args) as (_, db):
        found = active_deployments(db)
    text = "\n".join(map(_line, found)) or "nothing is deployed; 'concordant serve' deploys the programme's model"
    return Outcome(text, {"deployments": [_json(one) for one in found]})


def retire_(args: argparse.Namespace) -> Outcome:
    from concordant.store.registry import active_deployments, retire, snapshot

    with _opened(args) as (_, db):
        label = snapshot(db, args.snapshot).label
        found = [one for one in active_deployments(db) if one.snapshot.label == label]
        if not found:
            raise UserError(f"snapshot {label!r} is not deployed; see 'concordant deploy list'")
        for one in found:
            retire(db, one.id)
    return Outcome(f"{label} is retired", {"retired": [_json(one) for one in found]})


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
    from concordant.store.registry import SnapshotKind, add_snapshot

    if k < 2:
        raise UserError(f"--best-of {k} leaves nothing to choose; give 2 or more")
    if not is_preference_model(pm):
        raise UserError(f"{pm} holds no preference model; give the run of 'concordant train pm'")
    if of.kind is SnapshotKind.BEST_OF_K:
        raise UserError(f"{of.label!r} is a best-of-k already; give the snapshot below it")
    label = f"{of.label} best of {k} by {model_id(pm)}"
    return add_snapshot(
        db, label, SnapshotKind.BEST_OF_K, {"of": of.id, "pm": str(pm.resolve()), "k": k}, parents=(of.id,)
    )


@contextmanager
def _opened(args: argparse.Namespace) -> "Iterator[tuple[Programme, Database]]":
    from concordant.programme import Programme
    from concordant.store.database import Database

    programme = Programme.open(args.dir)
    database = Database.open(programme.store_url)
    try:
        yield programme, database
    finally:
        database.close()


def _line(deployment: "Deployment") -> str:
    where = f"{deployment.objective} conversations" if deployment.objective else "all conversations"
    return f"{deployment.snapshot.label}: weight {deployment.weight:g}, in {where}"


def _json(deployment: "Deployment") -> dict[str, object]:
    snapshot = deployment.snapshot
    return {
        "id": deployment.id,
        "snapshot": snapshot.label,
        "kind": snapshot.kind.value,
        "weight": deployment.weight,
        "objective": deployment.objective,
        "k": snapshot.spec.get("k"),
    }
