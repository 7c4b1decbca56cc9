"""``concordant message list | read | send | announce | end``: between the staff and the workers (paper §2.1)."""

import argparse
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    pass


def add(verbs: Verbs) -> None:
    """Add the verb ``message``."""
    message: Verbs = verbs.add_parser("message", help="messages between staff and workers").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    listing = message.add_parser("list", help="threads, those with something new first, and announcements")
    read = message.add_parser("read", help="one worker's thread; what they wrote is read from then on")
    read.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
    send = message.add_parser("send", help="a message to one worker")
    send.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
    tell = message.add_parser("announce", help="tell everyone, on their pages until they put it aside")
    tell.add_argument("--to", action="append", metavar="ID", help="only this worker (repeatable)")
    for parser in (send, tell):
        parser.add_argument("text", metavar="TEXT", help="Markdown")
        parser.add_argument("--key", metavar="K", help="the same key again sends nothing (default: a new one)")
    end = message.add_parser("end", help="show an announcement to nobody any more")
    end.add_argument("announcement", metavar="ID", help="as 'concordant message list' shows it")
    for parser, run in ((listing, list_), (read, read_), (send, send_), (tell, announce_), (end, end_)):
        add_programme(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.announcements import announcements
    from concordant.store.letters import threads

    with opened(args) as (_, database):
        found, told = threads(database), announcements(database)
    lines = [f"{one.worker_id}  {one.unread} new of {one.letters}  {one.name}" for one in found]
    lines += [f"announcement {one.id}  {'ended' if one.ended else 'shown'}  {one.text[:60]!r}" for one in told]
    return Outcome(
        "\n".join(lines) or "no messages yet; 'concordant message send ID TEXT' begins a thread",
        {
            "threads": [
                {"worker": one.worker_id, "name": one.name, "letters": one.letters, "unread": one.unread}
                for one in found
            ],
            "announcements": [
                {"id": one.id, "text": one.text, "workers": one.workers, "aside": one.aside, "ended": bool(one.ended)}
                for one in told
            ],
        },
    )


def read_(args: argparse.Namespace) -> Outcome:
    from concordant.store.letters import open_thread

    with opened(args) as (_, database):
        found = open_thread(database, args.worker, by_staff=True)
    lines = [f"{one.at:%Y-%m-%d %H:%M} {one.staff_id or 'worker'}: {_plain(one.text)}" for one in found]
    rows = [{"staff": one.staff_id, "text": one.text, "seen": one.seen, "at": one.at.isoformat()} for one in found]
    return Outcome("\n".join(lines) or "nothing has been written yet", {"worker": args.worker, "letters": rows})


def send_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.letters import write_letter
    from concordant.store.tables import new_id

    with opened(args) as (_, database):
        write_letter(database, args.worker, args.text, args.key or new_id(), COMMAND_LINE)
    return Outcome(f"sent to {args.worker}", {"worker": args.worker})


def announce_(args: argparse.Namespace) -> Outcome:
    from concordant.store.announcements import announce
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.tables import new_id

    with opened(args) as (_, database):
        announce(database, args.text, args.to, args.key or new_id(), COMMAND_LINE)
    whom = "everyone" if args.to is None else f"{len(set(args.to))} of the workers"
    return Outcome(f"announced to {whom}", {"to": args.to})


def end_(args: argparse.Namespace) -> Outcome:
    from concordant.store.announcements import end_announcement
    from concordant.store.audit import COMMAND_LINE

    with opened(args) as (_, database):
        end_announcement(database, args.announcement, COMMAND_LINE)
    return Outcome("ended", {"announcement": args.announcement})


def _plain(text: str) -> str:
    """A worker's text for a terminal: what would move its cursor or change its colours is shown, not done."""
    return "".join(one if one.isprintable() or one == "\n" else repr(one)[1:-1] for one in text)
