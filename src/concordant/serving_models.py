"""Snapshots as samplers: what the reply generator writes with. Wires the store's records to the room of models."""

from collections.abc import Callable
from pathlib import Path

from concordant.errors import UserError
from concordant.evaluate.ood_filter import PromptScreen
from concordant.models.base_models import Say, cache_folder, fetch
from concordant.models.generation import ModelSampler, SamplingLimits, leave_a_core
from concordant.models.language_model import LanguageModel
from concordant.models.preference_model import PreferenceModel
from concordant.programme import Programme
from concordant.sampler import BestOfK, Declining, Sampler
from concordant.store.database import Database
from concordant.store.registry import (
    Snapshot,
    SnapshotKind,
    active_deployments,
    add_snapshot,
    deploy,
    snapshot,
    snapshots,
)


def ensure_base(programme: Programme, db: Database, say: Say = lambda line: None) -> Snapshot:
    """The programme's first snapshot, fetched, registered, and deployed if nothing is.

    Raises:
        UserError: the model cannot be had, or the programme's model was changed after its first start.
    """
    known = snapshots(db)
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
    if not active_deployments(db):
        deploy(db, first.id, 1.0)
    return first


def snapshot_samplers(programme: Programme, db: Database) -> Callable[[Snapshot], Sampler]:
    """A function from snapshots to samplers that loads each model once, and lets go of those no longer deployed.

    Where the programme has a filter, every sampler stands behind it.
    """
    leave_a_core()
    ensure_base(programme, db, say=lambda line: print(line, flush=True))
    sampling = programme.config.sampling
    limits = SamplingLimits(sampling.max_new_tokens, sampling.temperature)
    screen = PromptScreen.load(programme.path / sampling.filter) if sampling.filter else None
    loaded: dict[str, Sampler] = {}

    def sampler(of: Snapshot) -> Sampler:
        if of.id not in loaded:
            wanted = [of, *(deployment.snapshot for deployment in active_deployments(db))]
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


def _and_below(of: Snapshot) -> set[str]:
    """A snapshot's id, and that of the one it draws from."""
    return {of.id, of.spec["of"]} if of.kind is SnapshotKind.BEST_OF_K else {of.id}


def _language_model(of: Snapshot) -> LanguageModel:
    adapter = of.spec["adapter"]
    return LanguageModel.load(Path(of.spec["folder"]), Path(adapter) if adapter else None)
