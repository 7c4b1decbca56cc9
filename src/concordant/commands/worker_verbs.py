"""``concordant worker list`` and ``worker permit``: who works here, and who may rewrite replies (paper App. D.2).

What staff decide about a worker is in ``standing_verbs.py``.
"""

import argparse

from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.commands.standing_verbs import add_standing


def add(verbs: Verbs) -> None:
    """Add the verb ``worker``."""
    worker: Verbs = verbs.add_parser("worker", help="who works here, and what they may do").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    listing = worker.add_parser("list", help="all workers, in the order in which they came")
    listing.set_defaults(run=list_)
    permit = worker.add_parser("permit", help="let a worker rewrite the replies that they took, or no longer")
    permit.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
    permit.add_argument("edits", choices=("edits", "no-edits"), help="whether they may rewrite replies")
    permit.set_defaults(run=permit_)
    for parser in (listing, permit):
        add_programme(parser)
        add_json(parser)
    add_standing(worker)


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.people import workers

    database = Database.open(Programme.open(args.dir).store_url)
    try:
        found = workers(database)
    finally:
        database.close()
    lines = [f"{one.id}  {one.kind.value:9}  {'edits' if one.may_edit else '     '}  {one.name}" for one in found]
    rows = [{"id": one.id, "name": one.name, "kind": one.kind.value, "may_edit": one.may_edit} for one in found]
    return Outcome("\n".join(lines) or "no workers yet; 'concordant serve' makes the first", {"workers": rows})


def permit_(args: argparse.Namespace) -> Outcome:
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.people import permit_edits

    allowed = args.edits == "edits"
    database = Database.open(Programme.open(args.dir).store_url)
    try:
        permit_edits(database, args.worker, allowed)
    finally:
        database.close()
    said = "may rewrite replies" if allowed else "may not rewrite replies"
    return Outcome(f"{args.worker} {said}", {"worker": args.worker, "may_edit": allowed})
