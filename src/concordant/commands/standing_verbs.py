"""``concordant worker select | exclude | admit``: the select list, and exclusion by filter (paper §2.1, App. D).

Every decision needs a reason and is kept with it; nothing that anybody made is deleted.
"""

import argparse
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    pass


def add_standing(worker: Verbs) -> None:
    """Add what decides about a worker to the verb ``worker``."""
    select = worker.add_parser("select", help="put a worker on the select list, or take them off")
    select.add_argument("--off", action="store_true", help="take them off")
    select.set_defaults(run=select_)
    exclude = worker.add_parser("exclude", help="leave out what a worker made, and give them no more work")
    exclude.add_argument(
        "--since", metavar="WHEN", default="", help="only what was made from this day or moment (UTC) on: 2026-11-22"
    )
    exclude.set_defaults(run=exclude_)
    admit = worker.add_parser("admit", help="admit an excluded worker again, with everything they made")
    admit.set_defaults(run=admit_)
    for parser in (select, exclude, admit):
        parser.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
        parser.add_argument("--reason", required=True, metavar="TEXT", help="why; kept beside the decision")
        add_programme(parser)
        add_json(parser)


def select_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.standing import put_on_select, take_off_select

    with opened(args) as (_, database):
        (take_off_select if args.off else put_on_select)(database, COMMAND_LINE, args.worker, args.reason)
    said = "is off the select list" if args.off else "is on the select list"
    return Outcome(f"{args.worker} {said}", {"worker": args.worker, "select": not args.off})


def exclude_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.preferences import excluded_choices
    from concordant.store.standing import exclude, moment

    since = moment(args.since)
    with opened(args) as (_, database):
        exclude(database, COMMAND_LINE, args.worker, args.reason, since)
        left_out = excluded_choices(database)
    what = "what they made" if since is None else f"what they made from {since:%Y-%m-%d %H:%M} UTC on"
    return Outcome(
        f"{args.worker} is excluded: {what} is left out; of all excluded workers, {left_out:,} choices",
        {
            "worker": args.worker,
            "excluded": True,
            "since": None if since is None else since.isoformat(),
            "left_out": left_out,
        },
    )


def admit_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.preferences import excluded_choices
    from concordant.store.standing import admit

    with opened(args) as (_, database):
        admit(database, COMMAND_LINE, args.worker, args.reason)
        left_out = excluded_choices(database)
    return Outcome(
        f"{args.worker} is admitted again; of all excluded workers, {left_out:,} choices are left out",
        {"worker": args.worker, "excluded": False, "left_out": left_out},
    )
