"""Snapshots as samplers: what the reply generator writes with. Wires the store's records to the room of models."""

import threading
from collections.abc import Callable
from pathlib import Path

from concordant.endpoint_sampler import EndpointSampler
from concordant.errors import UserError
from concordant.evaluate.ood_filter import PromptScreen
from concordant.models.base_models import Say, cache_folder, fetch
from concordant.models.generation import ModelSampler, SamplingLimits, leave_a_core
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.sampler import BestOfK, Declining, ReplyLimits, Sampler
from concordant.store.database import Database
from concordant.store.registry import (
    Snapshot,
    SnapshotKind,
    State,
    add_snapshot,
    deploy,
    snapshot,
    snapshots,
    standing_deployments,
)


def ensure_base(programme: Programme, db: Database, say: Say = lambda line: None) -> Snapshot:
    """The programme's first snapshot, fetched, registered, and deployed if no other model is.

    A deployment that drains or was stopped counts: what somebody took away does not come back by a new start.

    Raises:
        UserError: the model cannot be had, or the programme's model was changed after its first start.
    """
    known = [one for one in snapshots(db) if one.kind is SnapshotKind.MODEL]
    if known:
        if known[0].label != programme.config.model:
            raise UserError(
                f"model is {programme.config.model!r}, but this programme began with {known[0].label!r}, to which "
                "everything in it compares; make a new programme for another model"
            )
        first = known[0]
    else:
        folder = fetch(programme.config.model, cache_folder(), say)
        spec = {"folder": str(folder.resolve()), "adapter": None}
        first = add_snapshot(db, programme.config.model, SnapshotKind.MODEL, spec)
    if not _answered(db):
        deploy(db, first.id, 1.0)
    return first


def snapshot_samplers(programme: Programme, db: Database) -> Callable[[Snapshot], Sampler]:
    """A function from snapshots to samplers that loads each model once, and lets go of those no longer deployed.

    Where the programme has a filter, every sampler stands behind it. Threads may call it. A programme with nothing but
    endpoints needs no model of its own.
    """
    leave_a_core()
    if not _answered(db) or any(one.kind is SnapshotKind.MODEL for one in snapshots(db)):
        ensure_base(programme, db, say=lambda line: print(line, flush=True))
    sampling = programme.config.sampling
    limits = SamplingLimits(sampling.max_new_tokens, sampling.temperature)
    reply_limits = ReplyLimits(sampling.max_new_tokens, sampling.temperature)
    screen = PromptScreen.load(programme.path / sampling.filter) if sampling.filter else None
    loaded: dict[str, Sampler] = {}
    lock = threading.RLock()

    def sampler(of: Snapshot) -> Sampler:
        if of.kind is SnapshotKind.ENDPOINT:  # holds nothing, so it need not wait until a model is loaded
            return EndpointSampler(of.spec["url"], of.spec["model"], of.spec["key_env"], reply_limits)
        with lock:
            return local(of)

    def local(of: Snapshot) -> Sampler:
        if of.id not in loaded:
            deployed = [one.snapshot for one in standing_deployments(db) if one.state is not State.STOPPED]
            wanted = [of, *deployed]
            for id in loaded.keys() - {id for snapshot in wanted for id in _and_below(snapshot)}:
                del loaded[id]
            loaded[of.id] = _load(of)
        return loaded[of.id]

    def _load(of: Snapshot) -> Sampler:
        if of.kind is SnapshotKind.BEST_OF_K:
            scorer = PreferenceModel.load(Path(of.spec["pm"]))
            return BestOfK(sampler(snapshot(db, of.spec["of"])), scorer, int(of.spec["k"]))
        return ModelSampler(_language_model(of), limits)

    def screened(of: Snapshot) -> Sampler:
        return Declining(sampler(of), screen, sampling.refusal) if screen else sampler(of)

    return screened


def _answered(db: Database) -> bool:
    """Whether something stands before the workers that can answer them, in whatever state."""
    return any(one.snapshot.kind is not SnapshotKind.WRITTEN for one in standing_deployments(db))


def _and_below(of: Snapshot) -> set[str]:
    """A snapshot's id, and that of the one it draws from."""
    return {of.id, of.spec["of"]} if of.kind is SnapshotKind.BEST_OF_K else {of.id}


def _language_model(of: Snapshot) -> LanguageModel:
    adapter = of.spec["adapter"]
    return LanguageModel.load(Path(of.spec["folder"]), Path(adapter) if adapter else None)
