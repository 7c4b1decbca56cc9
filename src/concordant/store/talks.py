"""A worker's talk with the models: write, compare two replies, go on with the clicked one (paper §2.1, App. D).

Every submit carries a key made by the client, so that the same submit twice (a reload, a lost network) is one. All
writes of a talk lock its row first, so two tabs never meet half-way. Left out: who may see a talk (``collect``).
"""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from concordant.comparison import Objective
from concordant.errors import Refusal, UserError
from concordant.store.database import Database
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
from concordant.store.talk_views import talk_id_of, version
from concordant.store.transcripts import Exchange, exchanges

BUTTONS = range(1, 9)


class Elsewhere(Refusal):
    """What somebody answered is no longer what the conversation has: it has gone on in another window."""

    def __init__(self) -> None:
        super().__init__(
            "problem.elsewhere", "this conversation has gone on in another window; look at it as it is now"
        )


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
