"""Locks on replies, taken in one order everywhere, so that a writer and a worker who leaves never wait for each other.

Who locks several replies locks them by their ids, lowest first. SQLite has one lock for all and needs no order.
"""

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from concordant.store.tables import ReplyRow


def locked_replies(session: Session, *which: ColumnElement[bool], skip: bool = False) -> list[ReplyRow]:
    """The replies that match, locked until the transaction ends. ``skip``: without those that somebody else holds."""
    return list(session.scalars(select(ReplyRow).where(*which).order_by(ReplyRow.id).with_for_update(skip_locked=skip)))
