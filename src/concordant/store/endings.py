"""Ending a conversation inside a transaction: at its last choice, by leaving it, or because its sitting ends.

Replies that nobody will read any more are taken out of the queue.
"""

from sqlalchemy import select
from sqlalchemy.orm import Session

from concordant.store.reply_locks import locked_replies
from concordant.store.tables import ReplyRow, TalkRow, utc_now
from concordant.store.transcripts import exchanges


def close_talk(session: Session, talk: TalkRow) -> None:
    """End a locked, open talk now."""
    talk.ended = utc_now()
    waiting = [turn.comparison.id for turn in exchanges(session, [talk.id])[talk.id] if turn.choice is None]
    unread = ReplyRow.comparison_id.in_(waiting), ReplyRow.status.in_(["queued", "writing"])
    for reply in locked_replies(session, *unread):
        reply.status, reply.error = "failed", "the conversation was ended first"
        reply.owner = reply.lease_until = None


def close_open_talk(session: Session, sitting_id: str) -> None:
    """End the conversation that a sitting has open, if it has one."""
    open_here = select(TalkRow).where(TalkRow.sitting_id == sitting_id, TalkRow.ended.is_(None)).with_for_update()
    talk = session.scalar(open_here)
    if talk is not None:
        close_talk(session, talk)
