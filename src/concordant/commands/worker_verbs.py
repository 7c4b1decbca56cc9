"""``concordant worker list | permit | link | pay | erase``: who works here, what they may do, earn and take back.

Every act is noted in the audit log as done by the command line. Left out: messages (``message_verbs.py``),
and what staff decide about a worker (``standing_verbs.py``).
"""

import argparse
import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.opened_store import opened
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.commands.standing_verbs import add_standing
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.programme import Programme
    from concordant.store.database import Database
    from concordant.store.datasets import FrozenDataset
    from concordant.store.holdings import Holdings
    from concordant.store.pay_book import Account
    from concordant.store.pay_rules import Terms


def add(verbs: Verbs) -> None:
    """Add the verb ``worker``."""
    worker: Verbs = verbs.add_parser("worker", help="who works here, what they may do and earn").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    listing = worker.add_parser("list", help="all workers, in the order in which they came")
    permit = worker.add_parser("permit", help="let a worker rewrite the replies that they took, or no longer")
    permit.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
    permit.add_argument("edits", choices=("edits", "no-edits"), help="whether they may rewrite replies")
    link = worker.add_parser("link", help="a link for somebody new, or a new one that ends the old ones")
    link.add_argument("name", nargs="?", metavar="NAME", help="of somebody new; only staff see it")
    link.add_argument("--again", metavar="ID", help="instead: end this worker's links, and make a new one")
    pay = worker.add_parser("pay", help="what everybody earned and is owed; with --record, that it was paid")
    pay.add_argument("--record", metavar="REFERENCE", help="record that what is owed was paid, under this reference")
    pay.add_argument(
        "--key", metavar="K", help="with --record: a name for this payment; the same again records nothing (required)"
    )
    pay.add_argument(
        "--worker", action="append", metavar="ID", help="with --record: only this worker's pay (repeatable)"
    )
    pay.add_argument("--panel-csv", type=Path, metavar="FILE", help="write 'participant,amount' of what is owed")
    erase = worker.add_parser("erase", help="erase what a worker wrote; what is counted stays as it is")
    erase.add_argument("worker", metavar="ID", help="as 'concordant worker list' shows it")
    erase.add_argument("--yes", action="store_true", help="do it; without, only what would be erased is shown")
    erase.add_argument("--keep-replies", action="store_true", help="keep the models' replies to them")
    erase.add_argument(
        "--freeze-again",
        action="store_true",
        help="with --yes: freeze each data set that holds it anew, with its filter, as NAME-without-ID",
    )
    runs = ((listing, list_), (permit, permit_), (link, link_), (pay, pay_), (erase, erase_))
    for parser, run in runs:
        add_programme(parser)
        add_json(parser)
        parser.set_defaults(run=run)
    add_standing(worker)


def list_(args: argparse.Namespace) -> Outcome:
    from concordant.store.people import workers

    with opened(args) as (_, database):
        found = workers(database)
    lines = [f"{one.id}  {one.kind.value:9}  {'edits' if one.may_edit else '     '}  {one.name}" for one in found]
    rows = [{"id": one.id, "name": one.name, "kind": one.kind.value, "may_edit": one.may_edit} for one in found]
    return Outcome("\n".join(lines) or "no workers yet; 'concordant serve' makes the first", {"workers": rows})


def permit_(args: argparse.Namespace) -> Outcome:
    from concordant.store.people import permit_edits

    allowed = args.edits == "edits"
    with opened(args) as (_, database):
        permit_edits(database, args.worker, allowed)
    said = "may rewrite replies" if allowed else "may not rewrite replies"
    return Outcome(f"{args.worker} {said}", {"worker": args.worker, "may_edit": allowed})


def link_(args: argparse.Namespace) -> Outcome:
    from concordant.collect.serving import running_server
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.people import end_links, invite
    from concordant.store.tables import new_id

    if (args.name is None) == (args.again is None):
        raise UserError("give the NAME of somebody new, or --again ID for a new link of somebody known")
    worker_id = new_id() if args.again is None else args.again
    with opened(args) as (programme, database):
        if args.again is None:
            token = invite(database, worker_id, args.name, COMMAND_LINE)
        else:
            token = end_links(database, worker_id, COMMAND_LINE)
        url = running_server(programme.path) or ""
    where = "" if url else "\n(after the address of your pages; they are not served now)"
    return Outcome(f"{url}/w/{token}{where}", {"worker": worker_id, "link": f"{url}/w/{token}"})


def pay_(args: argparse.Namespace) -> Outcome:
    from concordant.runs import write_whole
    from concordant.store.audit import COMMAND_LINE
    from concordant.store.pay_book import Order, accounts, record_payment
    from concordant.store.pay_rules import Terms, amount_text

    if (args.record is None) != (args.key is None):
        raise UserError("--record REFERENCE and --key K go together: the key keeps a payment from being recorded twice")
    if args.worker and args.record is None:
        raise UserError("--worker goes with --record; without it, everybody is shown")
    with opened(args) as (programme, database):
        terms = Terms.of(programme.config.pay)
        if not terms.is_set:
            raise UserError("pay is not kept here; set pay.amount and pay.currency in concordant.toml")
        owed = accounts(database, terms)
        recorded = []
        if args.record is not None:
            recorded = record_payment(database, terms, Order(args.key, args.record, args.worker), COMMAND_LINE)
        found = accounts(database, terms)
    if args.panel_csv is not None:
        units = {one.worker_id: one.owed for one in owed}
        if args.record is not None:  # what this payment pays, now and whenever its key is given again
            units = {one.worker_id: one.amount for one in recorded}
        write_whole(args.panel_csv, _panel_lines(owed, units, terms))
    return Outcome(
        _pay_table([one for one in found if one.items], terms),
        {
            "currency": terms.currency,
            "accounts": [_account_json(one, terms) for one in found],
            "recorded": [
                {"worker": one.worker_id, "amount": amount_text(one.amount, one.currency), "sittings": one.lines}
                for one in recorded
            ],
        },
    )


def erase_(args: argparse.Namespace) -> Outcome:
    from dataclasses import asdict

    from concordant.store.audit import COMMAND_LINE
    from concordant.store.erasure import erase, erasure_of, written_by
    from concordant.store.holdings import holdings

    if args.freeze_again and not args.yes:
        raise UserError("--freeze-again goes with --yes: only what was erased is left out")
    with opened(args) as (programme, database):
        before = written_by(database, args.worker)
        if args.yes:
            erase(database, args.worker, COMMAND_LINE, replies=not args.keep_replies)
        done = erasure_of(database, args.worker)
        held = holdings(database, args.worker, programme.runs)
        again = _freeze_again(programme, database, args.worker, held) if args.freeze_again else []
    counted = (
        f"{before.messages} messages, {before.edits} rewritten replies, {before.comments} comments, "
        f"{before.letters} messages with the staff, {0 if args.keep_replies else before.replies} replies by models"
    )
    lines = [f"erased: {counted}" if args.yes else f"would be erased: {counted}; add --yes to do it"]
    if args.yes and done is not None and done.cleaned is None:
        lines.append("the store's file is not clean of the old bytes yet: others had it open; run this again")
    lines += _held_lines(held)
    lines += [f"frozen anew as {one.name}, sha256 {one.digest[:12]}…" for one in again]
    erased = None if done is None else {"at": done.at.isoformat(), "replies": done.replies, "clean": bool(done.cleaned)}
    # The name goes with the rest, so it is not told here.
    text = {name: number for name, number in asdict(before).items() if name != "name"}
    anew = [{"name": one.name, "digest": one.digest, "path": str(one.path)} for one in again]
    found = {"worker": args.worker, "text": text, "erased": erased, "held": held.to_json(), "frozen": anew}
    return Outcome("\n".join(lines), found)


def _freeze_again(
    programme: "Programme", database: "Database", worker_id: str, held: "Holdings"
) -> "list[FrozenDataset]":
    """The data sets anew, without what is erased; what was frozen so before is left as it is."""
    from concordant.store.datasets import freeze_again

    mark = f"-without-{worker_id[:8]}"
    return [
        freeze_again(database, one.name, f"{one.name}{mark}", programme.datasets)
        for one in held.datasets
        if not one.name.endswith(mark)
    ]


def _held_lines(held: "Holdings") -> list[str]:
    """What holds the text besides, and the way out."""
    lines = [
        f"held by data set {one.name}: {'its file cannot be read' if one.rows is None else f'{one.rows} of {one.of}'}"
        for one in held.datasets
    ]
    lines += [f"learned from by {one.kind} run {one.name}, through {one.by}" for one in held.runs]
    lines += [
        f"behind snapshot {one.label}, through {one.by}{', deployed now' if one.deployed else ''}"
        for one in held.snapshots
    ]
    if held.datasets:
        lines.append("--yes --freeze-again makes these data sets anew without it; the old files stay until you decide")
    return lines


def _panel_lines(accounts: "Sequence[Account]", units: Mapping[str, int], terms: "Terms") -> str:
    """``participant,amount`` of everybody who came from a panel and gets something, as CSV."""
    from concordant.collect.csv_answer import cell
    from concordant.store.pay_rules import amount_text

    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for one in accounts:
        if one.participant and units.get(one.worker_id):
            lines.writerow((cell(one.participant), amount_text(units[one.worker_id], terms.currency)))
    return text.getvalue()


def _pay_table(found: "list[Account]", terms: "Terms") -> str:
    from concordant.store.pay_rules import amount_text

    if not found:
        return "nobody has worked yet"
    lines = [f"{'worker':32}  {'earned':>10} {'paid':>10} {'owed':>10} {'an hour':>9}  {terms.currency}"]
    for one in found:
        amounts = [amount_text(units, terms.currency) for units in (one.earned, one.paid, one.owed)]
        rate = "–" if one.rate is None else amount_text(one.rate, terms.currency)
        short = one.short(terms)
        below = f"below the floor by {amount_text(short, terms.currency)}" if short else ""
        columns = " ".join(f"{amount:>10}" for amount in amounts)
        lines.append(f"{one.worker_id:32}  {columns} {rate:>9}  {below}".rstrip())
    return "\n".join(lines)


def _account_json(account: "Account", terms: "Terms") -> dict[str, object]:
    from concordant.store.pay_rules import amount_text

    amounts = {"earned": account.earned, "paid": account.paid, "owed": account.owed, "short": account.short(terms)}
    return {
        "worker": account.worker_id,
        "participant": account.participant,
        **{name: amount_text(units, terms.currency) for name, units in amounts.items()},
        "active_seconds": account.seconds,
        "hourly": None if account.rate is None else amount_text(account.rate, terms.currency),
    }
