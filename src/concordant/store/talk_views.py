"""A worker's talk as its page shows it: what was said, the pair that waits, the choice that can be changed (App. D).

Nothing here hints at a model. The statements are made once, as in ``transcripts``: every page and every form of a
worker runs one of them. Left out: who may see a talk (``collect``).
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.deployment_tables import GivenRow
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, TalkRow, WorkerRow
from concordant.store.transcripts import Exchange, conversation, exchanges

_HEAD = (
    select(TalkRow, WorkerRow.may_edit, GivenRow.talk_id)
    .join(WorkerRow, WorkerRow.id == TalkRow.worker_id)
    .outerjoin(GivenRow, GivenRow.talk_id == TalkRow.id)
)
_BY_ID = _HEAD.where(TalkRow.id == bindparam("id"))
_OPEN_OF_WORKER = _HEAD.where(TalkRow.worker_id == bindparam("id"), TalkRow.ended.is_(None))
_WITHIN = (
    select(MessageRow.talk_id)
    .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
    .where(ComparisonRow.id == bindparam("id"))
)
_OF_COMPARISON = _HEAD.where(TalkRow.id == _WITHIN.scalar_subquery())
_OWNER = select(TalkRow.worker_id).where(TalkRow.id == _WITHIN.scalar_subquery())


class ReplyStatus(StrEnum):
    QUEUED = "queued"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ReplyView:
    """A reply as a worker may see it: nothing here hints at the model. ``text`` grows while it is written."""

    id: str
    status: ReplyStatus
    text: str
    error: str | None


@dataclass(frozen=True, slots=True)
class PendingComparison:
    """The comparison that waits for the worker: ``a`` and ``b`` as they are shown. ``turn`` counts from 1."""

    id: str
    turn: int
    a: ReplyView
    b: ReplyView

    @property
    def ready(self) -> bool:
        """Both replies are complete, so that the worker may choose."""
        return self.a.status == self.b.status == ReplyStatus.DONE


@dataclass(frozen=True, slots=True)
class MadeChoice:
    """A choice that was made: ``number`` counts how often the worker chose between these two; ``version`` changes with
    every second thought, rewriting included, so that a message can say what it answers."""

    pair: PendingComparison
    button: int
    number: int
    version: str


@dataclass(frozen=True, slots=True)
class TalkView:
    """A talk as its page shows it.

    Attributes:
        id: 32 hex digits.
        worker_id: whose it is.
        objective: in a harmless talk the worker tries to bring out harm and clicks the more harmful reply.
        study: tag of what it was collected for.
        turns: how many choices are wanted.
        finished: whether it was ended.
        conversation: with the clicked replies as the assistant's turns.
        pending: the comparison that waits for a choice.
        sitting: id of the sitting that it is a task of, or None.
        undoable: the last choice, as long as it can be changed: until the next message, or the end.
        may_edit: whether the worker is permitted to rewrite replies.
        given: whether the first message was given to the worker, who did not write it.
    """

    id: str
    worker_id: str
    objective: Objective
    study: str
    turns: int
    finished: bool
    conversation: Conversation
    pending: PendingComparison | None
    sitting: str | None = None
    undoable: MadeChoice | None = None
    may_edit: bool = False
    given: bool = False


def current_talk(db: Database, worker_id: str) -> TalkView | None:
    """The worker's open talk."""
    with db.read() as session:
        return _view(session, _OPEN_OF_WORKER, worker_id)


def view(db: Database, talk_id: str) -> TalkView:
    """A talk as its page shows it now.

    Raises:
        UserError: there is no such talk.
    """
    with db.read() as session:
        found = _view(session, _BY_ID, talk_id)
    if found is None:
        raise UserError(f"there is no conversation {talk_id!r}")
    return found


def view_of(db: Database, comparison_id: str) -> TalkView:
    """The talk that a comparison belongs to, likewise.

    Raises:
        UserError: there is no such comparison.
    """
    with db.read() as session:
        found = _view(session, _OF_COMPARISON, comparison_id)
    if found is None:
        raise UserError(f"there is no comparison {comparison_id!r}")
    return found


def is_own(db: Database, worker_id: str, comparison_id: str) -> bool:
    """Whether a comparison belongs to a talk of this worker."""
    with db.read() as session:
        return session.scalar(_OWNER, {"id": comparison_id}) == worker_id


def talk_id_of(session: Session, comparison_id: str) -> str:
    """Id of the talk that a comparison belongs to."""
    talk_id = session.scalar(_WITHIN, {"id": comparison_id})
    if talk_id is None:
        raise UserError(f"there is no comparison {comparison_id!r}")
    return talk_id


def _view(session: Session, heads: Select[TalkRow, bool, str], name: str) -> TalkView | None:
    head = session.execute(heads, {"id": name}).one_or_none()
    if head is None:
        return None
    talk, may_edit, given = head
    turns = exchanges(session, [talk.id])[talk.id]
    return TalkView(
        id=talk.id,
        worker_id=talk.worker_id,
        objective=Objective(talk.objective),
        study=talk.study,
        turns=talk.turns,
        finished=talk.ended is not None,
        conversation=conversation(turns),
        pending=_pending(turns[-1]) if turns and turns[-1].choice is None and talk.ended is None else None,
        sitting=talk.sitting_id,
        undoable=_undoable(turns[-1]) if turns and talk.ended is None else None,
        may_edit=may_edit,
        given=given is not None,
    )


def version(choice: ChoiceRow, edit: EditRow | None) -> str:
    """What a page that shows this choice says that it shows; see ``MadeChoice``."""
    return f"{choice.number}.{0 if edit is None else edit.number}"


def _undoable(turn: Exchange) -> MadeChoice | None:
    if turn.choice is None:
        return None
    return MadeChoice(_pending(turn), turn.choice.button, turn.choice.number, version(turn.choice, turn.edit))


def _pending(turn: Exchange) -> PendingComparison:
    a, b = (reply_view(reply) for reply in turn.replies)
    return PendingComparison(turn.comparison.id, turn.message.turn, a, b)


def reply_view(row: ReplyRow) -> ReplyView:
    """What a worker may see of a reply."""
    return ReplyView(row.id, ReplyStatus(row.status), row.text, row.error)
