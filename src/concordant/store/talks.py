"""A worker's talk with the models: write, compare two replies, go on with the clicked one (paper §2.1, App. D).

Every submit carries a key made by the client, so that the same submit twice (a reload, a lost network) is one. All
writes of a talk lock its row first, so two tabs never meet half-way. Left out: who may see a talk (``collect``).
"""

from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import Refusal, UserError
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.deployment_tables import GivenRow
from concordant.store.endings import close_talk
from concordant.store.reply_locks import locked_replies
from concordant.store.sittings import complete_if_done
from concordant.store.tables import (
    ChoiceRow,
    ComparisonRow,
    MessageRow,
    ReplyRow,
    SnapshotRow,
    TalkRow,
    WorkerRow,
    new_id,
    utc_now,
)
from concordant.store.transcripts import Exchange, conversation, exchanges

BUTTONS = range(1, 9)

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
"""Made once, as in ``transcripts``: every page and every form of a worker runs one of these."""


class Elsewhere(Refusal):
    """What somebody answered is no longer what the conversation has: it has gone on in another window."""

    def __init__(self) -> None:
        super().__init__(
            "problem.elsewhere", "this conversation has gone on in another window; look at it as it is now"
        )


class ReplyStatus(StrEnum):
    QUEUED = "queued"
    WRITING = "writing"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Draw:
    """What is drawn for a comparison.

    Attributes:
        snapshots: ids of who writes reply 0 and reply 1.
        seeds: their seeds, each below 2⁶³.
        swap: whether reply 0 is shown as B; drawn anew each turn.
    """

    snapshots: tuple[str, str]
    seeds: tuple[int, int]
    swap: bool


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
class Answers:
    """What stood on the page that a message was written on: which turn comes, the ``version`` of the last choice."""

    turn: str
    version: str


@dataclass(frozen=True, slots=True)
class Given:
    """A first message that the worker did not write: it is the prompt of the written reply of this id."""

    written: str


@dataclass(frozen=True, slots=True)
class Ending:
    """What a worker says at the end of a talk.

    Attributes:
        rating: 1 to 5, or None; in red-team work, how successful they were at bringing out harm.
        comment: "" for none.
        harm: red-team work: how harmful the replies were, 1 to 5.
        actionability: red-team work: how much of it could be acted upon, 1 to 5.
    """

    rating: int | None = None
    comment: str = ""
    harm: int | None = None
    actionability: int | None = None


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


def open_talk(db: Database, worker_id: str, objective: Objective, turns: int, study: str) -> str:
    """Begin a talk; returns its id.

    Raises:
        UserError: there is no such worker, or they have an open talk.
    """
    if turns < 1:
        raise UserError(f"a conversation of {turns} turns has no choice to make; ask for at least 1")
    talk = TalkRow(id=new_id(), worker_id=worker_id, objective=objective.value, turns=turns, study=study)
    with db.write() as session:
        if session.get(WorkerRow, worker_id, with_for_update=True) is None:
            raise UserError(f"there is no worker {worker_id!r}")
        if _open_talk_id(session, worker_id) is not None:
            raise UserError("you have a conversation open already; end it before you begin another")
        session.add(talk)
    return talk.id


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


def say(db: Database, talk_id: str, text: str, key: str, draw: Draw, answers: Answers | Given | None = None) -> str:
    """The worker's next message, with two replies queued for it; returns the comparison's id.

    The same key again writes nothing and returns the same id. A message that was given is not the worker's writing.

    Raises:
        UserError: empty text; the talk has ended, is complete, or waits for a choice.
        Elsewhere: the talk is not where ``answers`` says.
    """
    if not text.strip():
        raise Refusal("problem.empty", "the message is empty; write something first")
    with db.write() as session:
        talk = locked_talk(session, talk_id)
        turns = exchanges(session, [talk_id])[talk_id]
        for turn in turns:
            if turn.message.key == key:
                return turn.comparison.id
        _refuse_message(talk, turns)
        if isinstance(answers, Answers) and answers != _answers(turns):
            raise Elsewhere
        message = MessageRow(id=new_id(), talk_id=talk_id, turn=len(turns) + 1, text=text, key=key)
        comparison = ComparisonRow(id=new_id(), message_id=message.id, swap=draw.swap)
        session.add(message)
        session.flush()
        session.add(comparison)
        if isinstance(answers, Given):
            session.add(GivenRow(talk_id=talk_id, written_id=answers.written))
        session.flush()
        now = utc_now()
        for place, (snapshot_id, seed) in enumerate(zip(draw.snapshots, draw.seeds, strict=True)):
            if session.get(SnapshotRow, snapshot_id) is None:
                raise UserError(f"there is no snapshot {snapshot_id!r}")
            session.add(
                ReplyRow(comparison_id=comparison.id, place=place, snapshot_id=snapshot_id, seed=seed, created=now)
            )
    return comparison.id


def choose(db: Database, comparison_id: str, button: int, key: str, instead_of: int = 0) -> None:
    """Record a choice: 1 "A is much better" … 8 "B is much better", of the sides as shown; 4 and 5 are the weakest.

    Until the next message a worker may change their mind: a choice ``instead_of`` the newest one (by its number)
    supersedes it, and both stay on record. The same key, or the same button, again writes nothing.

    Raises:
        UserError: not a button, a reply is not complete, the talk has ended or gone on, or another choice was made.
    """
    if button not in BUTTONS:
        raise UserError(f"button {button!r} does not exist; choose 1 (A is much better) to 8 (B is much better)")
    with db.write() as session:
        talk_id = talk_id_of(session, comparison_id)
        talk = locked_talk(session, talk_id)
        turns = exchanges(session, [talk_id])[talk_id]
        turn = next(turn for turn in turns if turn.comparison.id == comparison_id)
        sent = session.scalar(
            select(ChoiceRow.button).where(ChoiceRow.comparison_id == comparison_id, ChoiceRow.key == key)
        )
        if button == (turn.choice.button if turn.choice is not None and sent is None else sent):
            return
        made = 0 if turn.choice is None else turn.choice.number
        if made != instead_of or sent is not None:
            which = "last" if instead_of else "first"
            raise Refusal(f"refused.chosen_{which}", f"you have chosen already; your {which} choice is kept")
        if talk.ended is not None:
            raise Refusal("refused.ended_choices", "this conversation has ended; its choices cannot be changed")
        if turn is not turns[-1]:
            raise Refusal(
                "refused.choice_gone_on",
                "the conversation has gone on from your choice, so it cannot be changed any more",
            )
        if any(reply.status != "done" for reply in turn.replies):
            raise Refusal("refused.not_complete", "a reply is not complete yet; wait until both are, then choose")
        session.add(ChoiceRow(comparison_id=comparison_id, number=made + 1, button=button, key=key))


def retry(db: Database, comparison_id: str) -> None:
    """Queue the failed replies of a comparison again, at the place in the queue that they had.

    Raises:
        UserError: there is no such comparison, or its talk has ended.
    """
    with db.write() as session:
        if locked_talk(session, talk_id_of(session, comparison_id)).ended is not None:
            raise Refusal("refused.ended_writing", "this conversation has ended; nothing is written for it any more")
        for reply in locked_replies(session, ReplyRow.comparison_id == comparison_id, ReplyRow.status == "failed"):
            reply.status, reply.text, reply.attempt = "queued", "", 0
            reply.error = reply.owner = reply.lease_until = None


def end_talk(db: Database, talk_id: str, ending: Ending) -> None:
    """End a talk, at any time: a worker may always leave. Ending it again in the same way changes nothing.

    A sitting whose last task this was ends with it.

    Raises:
        UserError: there is no such talk, or it was ended with other words.
    """
    with db.write() as session:
        talk = locked_talk(session, talk_id)
        if talk.ended is not None:
            if Ending(talk.rating, talk.comment or "", talk.harm, talk.actionability) != ending:
                raise Refusal(
                    "refused.ended_rating", "this conversation has ended already; its rating is kept as it was"
                )
            return
        talk.rating, talk.comment = ending.rating, ending.comment
        talk.harm, talk.actionability = ending.harm, ending.actionability
        close_talk(session, talk)
        session.flush()
        if talk.sitting_id is not None:
            complete_if_done(session, talk.sitting_id)


def _refuse_message(talk: TalkRow, turns: list[Exchange]) -> None:
    if talk.ended is not None:
        raise Refusal("refused.ended", "this conversation has ended; begin a new one")
    if turns and turns[-1].choice is None:
        raise Refusal("refused.choose_first", "two replies wait for your choice; choose one before you write again")
    if len(turns) >= talk.turns:
        raise Refusal(
            "refused.complete",
            f"this conversation has its {talk.turns} choices; end it and begin a new one",
            n=talk.turns,
        )


def _answers(turns: list[Exchange]) -> Answers:
    last = turns[-1] if turns else None
    made = "" if last is None or last.choice is None else version(last.choice, last.edit)
    return Answers(str(len(turns) + 1), made)


def locked_talk(session: Session, talk_id: str) -> TalkRow:
    """The talk's row, locked: every write to a talk takes this lock first."""
    talk = session.get(TalkRow, talk_id, with_for_update=True)
    if talk is None:
        raise UserError(f"there is no conversation {talk_id!r}")
    return talk


def _open_talk_id(session: Session, worker_id: str) -> str | None:
    return session.scalar(select(TalkRow.id).where(TalkRow.worker_id == worker_id, TalkRow.ended.is_(None)))


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
