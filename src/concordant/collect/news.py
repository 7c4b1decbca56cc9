"""What a worker is told between two tasks, and never during one: announcements, new messages, what they have earned."""

from dataclasses import dataclass

from markupsafe import Markup

from concordant.collect.reply_text import to_html
from concordant.collect.room import Room
from concordant.store.announcements import shown_to
from concordant.store.letters import unread_by_worker
from concordant.store.pay_book import accounts
from concordant.store.pay_rules import Terms, money
from concordant.store.people import Worker


@dataclass(frozen=True, slots=True)
class News:
    """For the start page and the end page.

    Attributes:
        announcements: (id, HTML) of what was not put aside.
        unread: messages from the staff that wait.
        earned: a line on pay, or "".
    """

    announcements: tuple[tuple[str, Markup], ...]
    unread: int
    earned: str


def news(room: Room, worker: Worker) -> News:
    """What there is to tell this worker now."""
    told = tuple((one, Markup(to_html(text))) for one, text in shown_to(room.db, worker.id))
    return News(told, unread_by_worker(room.db, worker.id), _earned(room, worker))


def _earned(room: Room, worker: Worker) -> str:
    terms = Terms.of(room.pay)
    account = next(iter(accounts(room.db, terms, worker.id)), None) if terms.is_set else None
    if account is None or not account.earned:
        return ""
    earned, paid = money(account.earned, terms.currency), money(account.paid, terms.currency)
    return room.say("news.earned", earned=earned, paid=paid)
