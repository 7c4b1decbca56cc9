"""Preferences out of the store: which ones (``Filter``), one by one, and how many.

Answers of the weakest strength are left out unless they are asked for, as in training and Elo (paper §2.2).
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import Integer, and_, cast, func, select
from sqlalchemy.orm import Session, aliased

from concordant.comparison import Objective, Preference, Tranche
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.records import (
    EDITS,
    STORE,
    Models,
    Record,
    collected_records,
    imported_records,
    records_of_talks,
)
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
    """

    objective: Objective | None = None
    tranche: Tranche | None = None
    study: str | None = None
    models: tuple[str, ...] | None = None
    keep_weakest: bool = False
    sources: Literal["store", "imported"] | None = None

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


def matching_records(db: Database, filter: Filter) -> Iterator[Record]:
    """Records that match in everything but strength: the weakest are among them, for the caller to count."""
    with db.read() as session:
        for record in _candidates(session, filter):
            preference = record.preference
            if filter.tranche is not None and preference.tranche is not filter.tranche:
                continue
            if filter.models is None or (preference.models and set(preference.models) <= set(filter.models)):
                yield record


def counts(db: Database) -> list[Json]:
    """How much there is: ``[{objective, tranche, source, worker_kind, n, weakest}]``; ``n`` includes ``weakest``."""
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
    groups = _Groups()
    for record in records_of_talks(session, list(ids)):
        preference = record.preference
        if preference.source == EDITS:
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
        .where(later.id.is_(None))
        .group_by(TalkRow.objective, WorkerRow.kind, first.snapshot_id, second.snapshot_id)
    )
    models = Models.read(session)
    groups, weakest = _Groups(), _Groups()
    for objective, kind, one, other, number, weak_number in session.execute(statement):
        key = (objective, models.tranche(one, other).value, STORE, kind)
        groups[key] += number
        weakest[key] += weak_number
    return groups, weakest
