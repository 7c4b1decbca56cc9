"""``concordant staff list | add | reset | deactivate``: accounts for researchers and reviewers, without the pages.

Where somebody is to choose a password, the command prints a link that works once.
"""

import argparse
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from concordant.store.database import Database
    from concordant.store.staff import Member


def add(verbs: Verbs) -> None:
    """Add the verb ``staff``."""
    staff: Verbs = verbs.add_parser("staff", help="accounts of researchers and reviewers").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    listing = staff.add_parser("list", help="all accounts, in the order in which they came")
    listing.set_defaults(run=list_)
    adding = staff.add_parser("add", help="a new account; prints a link that works once, to choose a password")
    adding.add_argument("login", metavar="LOGIN", help="what they sign in with; an e-mail address will do")
    adding.add_argument("--name", help="as colleagues know them (default: the login)")
    adding.add_argument("--role", choices=("researcher", "reviewer"), default="reviewer", help="default: reviewer")
    adding.set_defaults(run=add_)
    reset = staff.add_parser("reset", help="a link that works once, to choose a new password")
    reset.add_argument("login", metavar="LOGIN", help="as 'concordant staff list' shows it")
    reset.set_defaults(run=reset_)
    deactivate = staff.add_parser("deactivate", help="close an account; it is signed out everywhere at once")
    deactivate.add_argument("login", metavar="LOGIN", help="as 'concordant staff list' shows it")
    deactivate.set_defaults(run=deactivate_)
    for parser in (adding, reset):
        parser.add_argument("--url", metavar="URL", help="of the pages, as others reach them (default: this machine's)")
    for parser in (listing, adding, reset, deactivate):
        add_programme(parser)
        add_json(parser)


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.staff import members

    with opened(args) as (_, db):
        found = members(db)
    lines = [f"{one.staff.role.value:10}  {_state(one):14}  {one.login}  {one.staff.name}" for one in found]
    rows = [
        {
            "id": one.staff.id,
            "login": one.login,
            "name": one.staff.name,
            "role": one.staff.role.value,
            "active": one.active,
            "password": one.has_password,
            "single_sign_on": one.signs_on,
        }
        for one in found
    ]
    return Outcome(
        "\n".join(lines) or "no accounts yet; 'concordant serve' prints a link for the first", {"staff": rows}
    )


def add_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.staff import Role, add_member

    with opened(args) as (_, db):
        added = add_member(db, COMMAND_LINE, args.name or args.login, args.login, Role(args.role))
        return _link(db, args, added, f"{added.login} is a {args.role}")


def reset_(args: argparse.Namespace) -> Outcome:
    from concordant.store.staff import member_by_login

    with opened(args) as (_, db):
        found = member_by_login(db, args.login)
        return _link(db, args, found, f"{found.login} keeps the old password until then")


def deactivate_(args: argparse.Namespace) -> Outcome:
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.staff import member_by_login, set_active

    with opened(args) as (_, db):
        found = member_by_login(db, args.login)
        set_active(db, COMMAND_LINE, found.staff.id, False)
    return Outcome(f"{found.login} is closed and signed out everywhere", {"login": found.login, "active": False})


def _link(db: "Database", args: argparse.Namespace, of: "Member", said: str) -> Outcome:
    """A one-time link at the address where the pages are, or will be."""
    from concordant.collect.serving import running_server
    from concordant.programme import Programme
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.staff_links import INVITATION_HOLDS, Purpose, make_link

    programme = Programme.open(args.dir)
    served = running_server(programme.path) or f"http://127.0.0.1:{programme.config.collect.port}"
    token = make_link(db, COMMAND_LINE, of.staff.id, Purpose.PASSWORD)
    link = f"{(args.url or served).rstrip('/')}/staff/link/{token}"
    text = f"{said}; this link works once, for {INVITATION_HOLDS.days} days, to choose a password:\n{link}"
    return Outcome(text, {"login": of.login, "role": of.staff.role.value, "link": link})


def _state(member: "Member") -> str:
    if not member.active:
        return "closed"
    return "password" if member.has_password else "single sign-on" if member.signs_on else "no password"
