"""Everything the store knows of each choice, as one record: the noun, and beside it what the noun leaves out.

Here a click becomes a preference. In a harmless (red-team) talk the worker clicked the more harmful reply (paper §2.1),
so the other side is the better one. Records come in a stable order: talks by their beginning, then imports.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from sqlalchemy import Select, literal, select, tuple_
from sqlalchemy.orm import Session

from concordant.comparison import Comparison, Objective, Preference, Side, Tranche
from concordant.conversation import Conversation, Speaker, Turn
from concordant.store.people import WorkerKind
from concordant.store.people_tables import ErasureRow
from concordant.store.registry import SnapshotKind
from concordant.store.tables import ImportedRow, ImportRow, Instant, ReplyRow, RunRow, SnapshotRow, TalkRow, WorkerRow
from concordant.store.transcripts import Exchange, clicked_side, exchanges, prompt_of, strength

_TALKS_AT_ONCE = 200
STORE = "store"
"""``Preference.source`` of what was chosen here; imports carry their file's name."""
EDITS = "store edits"
"""``Preference.source`` of rewritten replies: side ``a`` is a worker's, ``b`` the model's (App. D.2)."""


@dataclass(frozen=True, slots=True)
class Written:
    """How one reply came about.

    Attributes:
        snapshot_id: who wrote it; its label is in ``Preference.models``.
        seed: its part in the seed of the batch that it was sampled in (``collect/generator.py``: ``batch_seed``).
        tokens: how many were sampled.
        finished: whether the model ended its turn by itself.
        score: by the preference model, for a best-of-k reply.
        attempts: how many writers began it.
        done: when it was complete, UTC.
    """

    snapshot_id: str
    seed: int
    tokens: int | None
    finished: bool | None
    score: float | None
    attempts: int
    done: datetime | None


@dataclass(frozen=True, slots=True)
class Collected:
    """What is known only of choices, and of rewritten replies, made here.

    Attributes:
        talk_id: the conversation.
        study: what it was collected for.
        turn: of the talk, from 1.
        button: 1 to 8, as the sides were shown; None: the reply was rewritten.
        choice_number: 1, or more where it supersedes earlier ones.
        swap: whether the first reply that was drawn is the one shown as B; None: the reply was rewritten.
        said: when the worker's message came, UTC.
        chosen: when the button was pressed, or the rewritten reply sent, UTC.
        rating: of the whole talk, once it was ended; in red-team work, how successful it was.
        harm: red-team work: how harmful the replies were.
        actionability: red-team work: how much could be acted upon.
        comment: on the whole talk.
        replies: of sides (a, b); None: a worker wrote it.
    """

    talk_id: str
    study: str
    turn: int
    button: int | None
    choice_number: int
    swap: bool | None
    said: datetime
    chosen: datetime
    rating: int | None
    harm: int | None
    actionability: int | None
    comment: str | None
    replies: tuple[Written | None, Written | None]


@dataclass(frozen=True, slots=True)
class Record:
    """A preference with its id and everything else that was recorded.

    Attributes:
        id: of the comparison, the rewriting, or the imported row; 32 hex digits.
        preference: side ``a`` is the reply that was shown as A.
        worker_kind: None where an imported file does not say.
        collected: None for imported rows.
        erased: the worker's text was erased. It counts, in numbers and in ratings of models, and teaches nothing.
    """

    id: str
    preference: Preference
    worker_kind: WorkerKind | None
    collected: Collected | None
    erased: bool = False


@dataclass(frozen=True, slots=True)
class Models:
    """Labels and tranches of the snapshots (by id), the oldest first."""

    labels: dict[str, str]
    tranches: dict[str, Tranche]

    @classmethod
    def read(cls, session: Session) -> "Models":
        rows = {
            row.id: row for row in session.scalars(select(SnapshotRow).order_by(SnapshotRow.created, SnapshotRow.id))
        }
        policies = set(session.scalars(select(RunRow.name).where(RunRow.kind == "policy")))
        return cls(
            {key: row.label for key, row in rows.items()},
            {key: _tranche(row, rows, policies) for key, row in rows.items()},
        )

    def tranche(self, first: str, second: str) -> Tranche:
        """Of a comparison: online if a policy took part, else rs if a best-of-k did, else base (paper §2.3)."""
        return max(self.tranches[first], self.tranches[second], key=list(Tranche).index)


def _tranche(row: SnapshotRow, rows: dict[str, SnapshotRow], policies: set[str]) -> Tranche:
    """Of a snapshot. A policy is known by its adapter or, where all its weights were trained, by its recorded run.

    Endpoints and people count as base: nothing is known of what trained them.
    """
    if row.kind in (SnapshotKind.ENDPOINT, SnapshotKind.WRITTEN):
        return Tranche.BASE
    if row.kind == SnapshotKind.MODEL:
        return Tranche.ONLINE if row.spec["adapter"] is not None or row.run in policies else Tranche.BASE
    behind = _tranche(rows[row.spec["of"]], rows, policies)
    return Tranche.RS if behind is Tranche.BASE else behind


def collected_records(
    session: Session, objective: Objective | None = None, study: str | None = None
) -> Iterator[Record]:
    """Records of the choices made here, by the talk's beginning and turn; choices that were superseded are left out."""
    models, oldest = Models.read(session), _talk_ids(objective, study).limit(_TALKS_AT_ONCE)
    place = tuple_(TalkRow.created, TalkRow.id)
    found = list(session.execute(oldest))
    while found:
        yield from _records(session, [talk_id for talk_id, _ in found], models)
        talk_id, created = found[-1]
        found = list(session.execute(oldest.where(place > tuple_(literal(created, Instant()), literal(talk_id)))))


def records_of_talks(session: Session, ids: Sequence[str]) -> Iterator[Record]:
    """Records of the choices and rewritten replies of these talks."""
    models = Models.read(session)
    for start in range(0, len(ids), _TALKS_AT_ONCE):
        yield from _records(session, ids[start : start + _TALKS_AT_ONCE], models)


def _records(session: Session, batch: Sequence[str], models: Models) -> Iterator[Record]:
    turns_of = exchanges(session, batch)
    erased = set(session.scalars(select(ErasureRow.worker_id)))
    rows = session.execute(
        select(TalkRow, WorkerRow)
        .join(WorkerRow, WorkerRow.id == TalkRow.worker_id)
        .where(TalkRow.id.in_(batch))
        .order_by(TalkRow.created, TalkRow.id)
    )
    for talk, worker in rows:
        turns = turns_of[talk.id]
        for index, turn in enumerate(turns):
            found = []
            if turn.choice is not None:
                found.append(_collected(talk, worker, turn, prompt_of(turns, index), models))
            if turn.edit is not None:
                found.append(_edited(talk, worker, turn, prompt_of(turns, index), models))
            yield from (replace(record, erased=True) for record in found) if worker.id in erased else found
    session.expunge_all()


def imported_records(
    session: Session, objective: Objective | None = None, tranche: Tranche | None = None
) -> Iterator[Record]:
    """Records of imported rows, by the import's time and the file's order."""
    statement = (
        select(ImportedRow, ImportRow)
        .join(ImportRow, ImportRow.id == ImportedRow.import_id)
        .order_by(ImportRow.created, ImportRow.id, ImportedRow.row)
        .execution_options(yield_per=500)
    )
    if objective is not None:
        statement = statement.where(ImportRow.objective == objective.value)
    if tranche is not None:
        statement = statement.where(ImportRow.tranche == tranche.value)
    for row, file in session.execute(statement):
        yield _imported(row, file)


def turns_json(conversation: Conversation) -> list[list[str]]:
    """A conversation as JSON: ``[[speaker, text], …]``."""
    return [[turn.speaker.value, turn.text] for turn in conversation.turns]


def turns_from_json(turns: list[list[str]]) -> Conversation:
    """The inverse of ``turns_json``."""
    return Conversation(tuple(Turn(Speaker(speaker), text) for speaker, text in turns))


def _talk_ids(objective: Objective | None, study: str | None) -> Select[str, datetime]:
    statement = select(TalkRow.id, TalkRow.created).order_by(TalkRow.created, TalkRow.id)
    if objective is not None:
        statement = statement.where(TalkRow.objective == objective.value)
    if study is not None:
        statement = statement.where(TalkRow.study == study)
    return statement


def _collected(talk: TalkRow, worker: WorkerRow, turn: Exchange, prompt: Conversation, models: Models) -> Record:
    assert turn.choice is not None
    a, b = turn.replies
    clicked = clicked_side(turn.choice.button)
    preference = Preference(
        comparison=Comparison(prompt, a.text, b.text),
        preferred=clicked if talk.objective == Objective.HELPFUL else _other(clicked),
        objective=Objective(talk.objective),
        tranche=models.tranche(a.snapshot_id, b.snapshot_id),
        strength=strength(turn.choice.button),
        worker=worker.id,
        worker_kind=worker.kind,
        source=STORE,
        models=(models.labels[a.snapshot_id], models.labels[b.snapshot_id]),
    )
    collected = Collected(
        talk_id=talk.id,
        study=talk.study,
        turn=turn.message.turn,
        button=turn.choice.button,
        choice_number=turn.choice.number,
        swap=turn.comparison.swap,
        said=turn.message.created,
        chosen=turn.choice.created,
        rating=talk.rating,
        harm=talk.harm,
        actionability=talk.actionability,
        comment=talk.comment,
        replies=(_written(a), _written(b)),
    )
    return Record(turn.comparison.id, preference, WorkerKind(worker.kind), collected)


def _edited(talk: TalkRow, worker: WorkerRow, turn: Exchange, prompt: Conversation, models: Models) -> Record:
    """Rewritten > original. Its writers are a person and a model, so it is no game between two models."""
    assert turn.edit is not None and turn.clicked is not None
    original = turn.clicked
    preference = Preference(
        comparison=Comparison(prompt, turn.edit.text, original.text),
        preferred="a",
        objective=Objective(talk.objective),
        tranche=models.tranche(original.snapshot_id, original.snapshot_id),
        worker=worker.id,
        worker_kind=worker.kind,
        source=EDITS,
    )
    collected = Collected(
        talk_id=talk.id,
        study=talk.study,
        turn=turn.message.turn,
        button=None,
        choice_number=turn.edit.number,
        swap=None,
        said=turn.message.created,
        chosen=turn.edit.created,
        rating=talk.rating,
        harm=talk.harm,
        actionability=talk.actionability,
        comment=talk.comment,
        replies=(None, _written(original)),
    )
    return Record(turn.edit.id, preference, WorkerKind(worker.kind), collected)


def _other(side: Side) -> Side:
    return "b" if side == "a" else "a"


def _written(row: ReplyRow) -> Written:
    return Written(row.snapshot_id, row.seed, row.tokens, row.finished, row.score, row.attempt, row.done)


def _imported(row: ImportedRow, file: ImportRow) -> Record:
    assert row.preferred in ("a", "b"), row.preferred
    preference = Preference(
        comparison=Comparison(turns_from_json(row.prompt), row.reply_a, row.reply_b),
        preferred="a" if row.preferred == "a" else "b",
        objective=Objective(file.objective),
        tranche=Tranche(file.tranche),
        worker_kind=row.worker_kind,
        source=file.name,
    )
    return Record(row.id, preference, None if row.worker_kind is None else WorkerKind(row.worker_kind), None)
