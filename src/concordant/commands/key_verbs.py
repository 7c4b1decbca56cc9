"""``concordant key add | list | revoke``: who may use the snapshots at ``/v1/chat/completions``."""

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme

if TYPE_CHECKING:
    from concordant.store.api_keys import ApiKey


def add(verbs: Verbs) -> None:
    """Add the verb ``key``."""
    key: Verbs = verbs.add_parser("key", help="keys to the deployed snapshots for programs").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    made = key.add_parser("add", help="a new key; it is shown this once, and only its hash is kept")
    made.add_argument("name", metavar="NAME", help="whose it is")
    made.add_argument("--days", type=float, metavar="D", help="until it expires (default: never)")
    made.add_argument(
        "--snapshot", action="append", default=[], metavar="LABEL", help="which it may use; repeat (default: all)"
    )
    shown = key.add_parser("list", help="all keys, without the keys themselves")
    revoke = key.add_parser("revoke", help="take a key back at once")
    revoke.add_argument("name", metavar="NAME", help="as 'concordant key list' shows it")
    for parser, run in ((made, add_), (shown, list_), (revoke, revoke_)):
        add_programme(parser)
        add_json(parser)
        parser.set_defaults(run=run)


def add_(args: argparse.Namespace) -> Outcome:
    from concordant.store.api_keys import add_key

    with opened(args) as (_, db):
        key, secret = add_key(db, args.name, args.days, tuple(args.snapshot))
    return Outcome(
        f"{secret}\nThis is shown once. Send it as 'Authorization: Bearer …'.", {**_json(key), "key": secret}
    )


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.api_keys import keys

    with opened(args) as (_, db):
        found = keys(db)
    return Outcome(
        "\n".join(map(_line, found)) or "no keys yet; see 'concordant key add'", {"keys": list(map(_json, found))}
    )


def revoke_(args: argparse.Namespace) -> Outcome:
    from concordant.store.api_keys import revoke_key

    with opened(args) as (_, db):
        key = revoke_key(db, args.name)
    return Outcome(f"{key.name} is revoked", _json(key))


def _line(key: "ApiKey") -> str:
    state = "revoked" if key.revoked else "valid" if key.valid(datetime.now(UTC)) else "expired"
    used = "never used" if key.last_used is None else f"last used {_moment(key.last_used)}"
    return f"{key.name}: {state}, {used}"


def _json(key: "ApiKey") -> dict[str, object]:
    return {
        "name": key.name,
        "valid": key.valid(datetime.now(UTC)),
        "snapshots": None if key.snapshots is None else list(key.snapshots),
        "created": _moment(key.created),
        "expires": _moment(key.expires),
        "revoked": _moment(key.revoked),
        "last_used": _moment(key.last_used),
    }


def _moment(value: datetime | None) -> str | None:
    return None if value is None else value.isoformat(timespec="seconds")
