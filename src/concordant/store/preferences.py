"""Preferences out of the store: which ones (``Filter``), one by one, and how many.

Answers of the weakest strength are left out unless they are asked for, as in training and Elo (paper §2.2); what
excluded workers made is left out as long as they are excluded.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Integer, and_, cast, func, select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective, Preference, Tranche
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.people import WorkerKind
from concordant.store.records import (
    EDITS,
    STORE,
    Models,
    Record,
    collected_records,
    imported_records,
    records_of_talks,
)
from concordant.store.standing import Standing, standings_in
from concordant.store.standing import left_out as left_out_of
from concordant.store.tables import (
    ChoiceRow,
    ComparisonRow,
    ImportedRow,
    ImportRow,
    MessageRow,
    ReplyRow,
    TalkRow,
    WorkerRow,
)
from concordant.store.tally import UNKNOWN

Json = dict[str, Any]
EXCLUDED = "of an excluded worker"
NOT_SELECT = "not by a worker of the select list"


@dataclass(frozen=True, slots=True)
class Filter:
    """Which preferences. None: whatever it is.

    Attributes:
        objective: helpful or harmless.
        tranche: base, rs or online.
        study: tag of the talks; imported rows have none.
        models: snapshot labels; both replies must be by one of them. Imported rows and rewritten replies have none.
        keep_weakest: also those of the weakest strength.
        sources: only what was collected here, or only what was imported.
        workers: without what excluded workers made (admitted), only what workers of the select list made (select; those
            who are excluded are left out here too, and so are imported rows, which name nobody), or everyone's (all).
        worker_kind: only choices by people, by scripted workers, or by simulated ones.
    """

    objective: Objective | None = None
    tranche: Tranche | None = None
    study: str | None = None
    models: tuple[str, ...] | None = None
    keep_weakest: bool = False
    sources: Literal["store", "imported"] | None = None
    workers: Literal["admitted", "select", "all"] = "admitted"
    worker_kind: WorkerKind | None = None

    @classmethod
    def from_json(cls, values: Json) -> "Filter":
        """The inverse of ``to_json``."""
        objective, tranche, models = values["objective"], values["tranche"], values["models"]
        made = {
            "objective": None if objective is None else Objective(objective),
            "tranche": None if tranche is None else Tranche(tranche),
            "models": None if models is None else tuple(models),
        }
        return cls(**{**values, **made})

    def to_json(self) -> Json:
        """Its fields as JSON values."""
        return asdict(self) | {"models": None if self.models is None else list(self.models)}


def preferences(db: Database, filter: Filter, with_erased: bool = True) -> Iterator[tuple[str, Preference]]:
    """(id, preference) of every choice that counts, in a stable order; all from one moment of the store.

    Whoever reads the texts leaves out what was erased; whoever counts, or rates models, does not.

    Side ``a`` is the reply shown as A. In harmless talks the preferred side is the one that was *not* clicked.
    """
    for record in matching_records(db, filter):
        if record.erased and not with_erased:
            continue
        if filter.keep_weakest or not record.preference.is_weakest:
            yield record.id, record.preference


def matching_records(db: Database, filter: Filter, left_out: Counter[str] | None = None) -> Iterator[Record]:
    """Records that match in everything but strength: the weakest are among them, for the caller to count.

    ``left_out`` takes up, by reason, how many match in all but the worker who made them.
    """
    with db.read() as session:
        crew = standings_in(session)
        for record in _candidates(session, filter):
            preference = record.preference
            if filter.tranche is not None and preference.tranche is not filter.tranche:
                continue
            if filter.worker_kind is not None and record.worker_kind is not filter.worker_kind:
                continue
            if filter.models is not None and not (preference.models and set(preference.models) <= set(filter.models)):
                continue
            reason = _why_not_theirs(filter, record, crew)
            if reason is None:
                yield record
            elif left_out is not None:
                left_out[reason] += 1


def _why_not_theirs(filter: Filter, record: Record, crew: Mapping[str, Standing]) -> str | None:
    """Why a record is left out for the worker who made it, or None."""
    if filter.workers == "all" or (record.collected is None and filter.workers == "admitted"):
        return None
    standing = crew.get(record.preference.worker or "", Standing())
    excluded = standing.exclusion
    made = None if record.collected is None else record.collected.chosen
    if excluded is not None and made is not None and (excluded.since is None or excluded.since <= made):
        return EXCLUDED
    return NOT_SELECT if filter.workers == "select" and standing.select is None else None


def excluded_choices(db: Database) -> int:
    """How many choices ``counts`` leaves out, because those who made them are excluded."""
    later = aliased(ChoiceRow)
    statement = (
        select(func.count())
        .select_from(TalkRow)
        .join(MessageRow, MessageRow.talk_id == TalkRow.id)
        .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .join(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .outerjoin(later, and_(later.comparison_id == ComparisonRow.id, later.number > ChoiceRow.number))
        .where(later.id.is_(None), left_out_of(TalkRow.worker_id, ChoiceRow.created))
    )
    with db.read() as session:
        return session.execute(statement).scalar_one()


def counts(db: Database) -> list[Json]:
    """How much there is: ``[{objective, tranche, source, worker_kind, n, weakest}]``; ``n`` includes ``weakest``.

    Without what excluded workers made; ``excluded_choices`` says how much that is.
    """
    with db.read() as session:
        groups, weakest = _collected_counts(session)
        groups += _edited_counts(session)
        for objective, tranche, source, kind, number in session.execute(
            select(ImportRow.objective, ImportRow.tranche, ImportRow.name, ImportedRow.worker_kind, func.count())
            .join(ImportedRow, ImportedRow.import_id == ImportRow.id)
            .group_by(ImportRow.objective, ImportRow.tranche, ImportRow.name, ImportedRow.worker_kind)
        ):
            groups[objective, tranche, source, kind or UNKNOWN] += number
    names = ("objective", "tranche", "source", "worker_kind")
    return [
        dict(zip(names, key, strict=True)) | {"n": number, "weakest": weakest[key]}
        for key, number in sorted(groups.items())
    ]


def _candidates(session: Session, filter: Filter) -> Iterator[Record]:
    if filter.sources != "imported":
        yield from collected_records(session, filter.objective, filter.study)
    if filter.sources != STORE and filter.study is None and filter.models is None:
        yield from imported_records(session, filter.objective, filter.tranche)


_Groups = Counter[tuple[str, str, str, str]]


def _edited_counts(session: Session) -> _Groups:
    """Rewritten replies by group; there are few, so they are read as they are exported."""
    talks = select(MessageRow.talk_id).join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
    ids = session.scalars(talks.join(EditRow, EditRow.comparison_id == ComparisonRow.id).distinct())
    groups, crew = _Groups(), standings_in(session)
    for record in records_of_talks(session, list(ids)):
        preference = record.preference
        if preference.source == EDITS and _why_not_theirs(Filter(), record, crew) is None:
            groups[preference.objective, preference.tranche, EDITS, preference.worker_kind or UNKNOWN] += 1
    return groups


def _collected_counts(session: Session) -> tuple[_Groups, _Groups]:
    """(all, weakest) by group, counted in the database down to pairs of snapshots."""
    first, second, later = aliased(ReplyRow), aliased(ReplyRow), aliased(ChoiceRow)
    weak = cast(ChoiceRow.button.in_([4, 5]), Integer)
    statement = (
        select(TalkRow.objective, WorkerRow.kind, first.snapshot_id, second.snapshot_id, func.count(), func.sum(weak))
        .join(WorkerRow, WorkerRow.id == TalkRow.worker_id)
        .join(MessageRow, MessageRow.talk_id == TalkRow.id)
        .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
        .join(first, and_(first.comparison_id == ComparisonRow.id, first.place == 0))
        .join(second, and_(second.comparison_id == ComparisonRow.id, second.place == 1))
        .join(ChoiceRow, ChoiceRow.comparison_id == ComparisonRow.id)
        .outerjoin(later, and_(later.comparison_id == ComparisonRow.id, later.number > ChoiceRow.number))
        .where(later.id.is_(None), ~left_out_of(TalkRow.worker_id, ChoiceRow.created))
        .group_by(TalkRow.objective, WorkerRow.kind, first.snapshot_id, second.snapshot_id)
    )
    models = Models.read(session)
    groups, weakest = _Groups(), _Groups()
    for objective, kind, one, other, number, weak_number in session.execute(statement):
        key = (objective, models.tranche(one, other).value, STORE, kind)
        groups[key] += number
        weakest[key] += weak_number
    return groups, weakest
