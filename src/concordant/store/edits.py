"""Replies that permitted workers rewrite: the chosen reply, as it should have been (paper App. D.2).

The talk goes on from the rewritten reply, and *rewritten > original* is a comparison of its own kind. What the worker
chose stays beside it. Left out: red-team work, where the reply that is taken is the more harmful one.
"""

from sqlalchemy import select

from concordant.comparison import Objective
from concordant.errors import Refusal
from concordant.store.database import Database
from concordant.store.day_tables import EditRow
from concordant.store.tables import WorkerRow
from concordant.store.talk_views import talk_id_of, version
from concordant.store.talks import Elsewhere, locked_talk
from concordant.store.transcripts import exchanges


def edit(db: Database, comparison_id: str, text: str, key: str, seen: str = "") -> None:
    """Put a rewritten text in the place of the reply that was chosen; until the next message, as often as one likes.

    The same key again writes nothing. ``seen``: the version of the choice on whose page it was rewritten.

    Raises:
        UserError: no text, the same text, nothing chosen yet, the talk has ended or gone on, or not permitted.
        Elsewhere: another reply was taken meanwhile, or it was rewritten elsewhere.
    """
    if not text.strip():
        raise Refusal("refused.edit_empty", "there is nothing left of the reply; write what it should say, or keep it")
    with db.write() as session:
        talk = locked_talk(session, talk_id_of(session, comparison_id))
        turns = exchanges(session, [talk.id])[talk.id]
        turn = next(turn for turn in turns if turn.comparison.id == comparison_id)
        sent = select(EditRow.id).where(EditRow.comparison_id == comparison_id, EditRow.key == key)
        if session.scalar(sent) is not None:
            return
        if not session.get_one(WorkerRow, talk.worker_id).may_edit or talk.objective != Objective.HELPFUL:
            raise Refusal("refused.edit_not_here", "replies cannot be rewritten here; choose between them as they are")
        if talk.ended is not None or turn is not turns[-1]:
            raise Refusal(
                "refused.edit_gone_on",
                "the conversation has gone on from this reply, so it cannot be rewritten any more",
            )
        if turn.clicked is None:
            raise Refusal("refused.edit_choose_first", "two replies wait for your choice; choose one, then rewrite it")
        if seen and turn.choice is not None and seen != version(turn.choice, turn.edit):
            raise Elsewhere
        if text in (turn.clicked.text, turn.spoken):
            raise Refusal("refused.edit_same", "the text is as it was; change it, or keep the reply")
        number = 1 if turn.newest_edit is None else turn.newest_edit.number + 1  # of either reply
        session.add(EditRow(comparison_id=comparison_id, reply_id=turn.clicked.id, number=number, text=text, key=key))
