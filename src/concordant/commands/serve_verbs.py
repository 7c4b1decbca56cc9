"""``concordant serve`` and ``concordant simulate``: the pages with the reply generator, and scripted workers."""

import argparse
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from concordant.commands.opened_store import store_of
from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.collect.room import Room
    from concordant.comparison import Objective
    from concordant.programme import Programme
    from concordant.sampler import Sampler
    from concordant.store.database import Database
    from concordant.store.registry import Snapshot

HEARTBEAT = "generator.state"
"""File in the programme's folder by which the pages know whether replies are being written."""


def add(verbs: Verbs) -> None:
    """Add the verbs ``serve`` and ``simulate``."""
    serve = verbs.add_parser("serve", help="the pages and the reply generator; prints the links")
    serve.add_argument("--host", help="address to listen on (default: collect.host)")
    serve.add_argument("--port", type=int, help="port to listen on; 0 takes a free one (default: collect.port)")
    serve.add_argument(
        "--only", choices=("pages", "replies"), help="one of the two halves, for example the replies on a GPU machine"
    )
    # For trying the pages without a model: fixed replies, a word every so many seconds.
    serve.add_argument("--scripted-replies", nargs="?", type=float, const=0.06, metavar="S", help=argparse.SUPPRESS)
    serve.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    add_programme(serve)
    serve.set_defaults(run=serve_)

    simulate = verbs.add_parser("simulate", help="conversations by scripted workers, over the same pages as people's")
    simulate.add_argument("conversations", type=int, metavar="N", help="how many conversations")
    simulate.add_argument("--worker", choices=("scripted",), default="scripted", help="who talks and chooses")
    simulate.add_argument(
        "--objective", choices=("helpful", "harmless", "both"), default="helpful", help="kind of conversation"
    )
    simulate.add_argument("--study", default="", metavar="S", help="tag of the conversations")
    simulate.add_argument("--url", metavar="URL", help="of the pages (default: those served from this folder)")
    simulate.add_argument("--concurrency", type=int, default=16, metavar="C", help="workers at once (default 16)")
    simulate.add_argument(
        "--seed", type=int, metavar="S", help="of what they say and choose (default: the programme's)"
    )
    simulate.add_argument(
        "--pause",
        type=float,
        default=0.0,
        metavar="S",
        help="seconds, as a mean, before each message and choice (default 0)",
    )
    simulate.add_argument("--log", type=Path, metavar="FILE", help="JSON lines: every choice that the server confirmed")
    add_programme(simulate)
    add_json(simulate)
    simulate.set_defaults(run=simulate_)


def serve_(args: argparse.Namespace) -> Outcome:
    from concordant.programme import Programme

    programme = Programme.open(args.dir)
    with store_of(programme) as db:
        if args.only == "replies":
            _write_replies(programme, db, args.scripted_replies, args.supervised)
        else:
            _serve_pages(programme, db, args)
    return Outcome("ended")


def _serve_pages(programme: "Programme", db: "Database", args: argparse.Namespace) -> None:
    from contextlib import ExitStack

    from concordant.collect.oidc import require_oidc
    from concordant.collect.serving import address_of, announced, links, listen, require_accounts, serve_pages
    from concordant.collect.serving import running_server as running
    from concordant.collect.supervisor import Supervisor

    served = running(programme.path)
    if served is not None:
        raise UserError(f"{programme.path} is served already, at {served}; end that 'concordant serve' first")
    host = programme.config.collect.host if args.host is None else args.host
    if programme.config.staff.oidc.issuer:
        require_oidc(programme.config.staff.oidc)
    require_accounts(db, host, programme.config.staff)
    port = programme.config.collect.port if args.port is None else args.port
    listener = listen(host, port)
    url = address_of(listener)
    with ExitStack() as stack:
        stack.callback(listener.close)
        if args.only is None:
            command = [sys.executable, "-m", "concordant.cli", "serve", "--only", "replies", "--supervised"]
            command += ["--dir", str(programme.path)]
            if args.scripted_replies is not None:
                command += ["--scripted-replies", str(args.scripted_replies)]
            stack.enter_context(Supervisor("reply generator", command, programme.path / "logs/generator.log"))
        found = links(db, programme.path, url)
        print(f"worker      {found.worker}\nresearcher  {found.researcher}", flush=True)
        if found.works_once:
            print("The researcher's link signs you in once, on this machine; the next start prints another.")
        print("Ctrl-C ends both.", flush=True)
        stack.enter_context(announced(programme.path, url))
        serve_pages(_room(programme, db, args), listener)


def _room(programme: "Programme", db: "Database", args: argparse.Namespace) -> "Room":
    from concordant.collect.heartbeat import Heartbeat
    from concordant.collect.messages import messages
    from concordant.collect.room import Room
    from concordant.collect.scripted_replies import BANNER
    from concordant.collect.serving import consent_text, draw_secret, own_secret

    config = programme.config
    return Room(
        db,
        config.collect,
        care=config.care,
        panel=config.panel,
        staff=config.staff,
        limits=config.limits,
        review=config.review,
        pay=config.pay,
        say=messages(programme.path / config.collect.words if config.collect.words else None),
        consent=consent_text(programme.path / config.collect.consent if config.collect.consent else None),
        seed=f"{config.seed}:{draw_secret(programme.path)}",
        secret=own_secret(programme.path),
        heartbeat=Heartbeat(None if args.only else programme.path / HEARTBEAT),
        api=config.api,
        runs=programme.runs,
        report=programme.path / "report",
        banner="" if args.scripted_replies is None else BANNER,
    )


def _write_replies(programme: "Programme", db: "Database", scripted: float | None, supervised: bool) -> None:
    import logging
    import signal

    from concordant.collect.generator import run_generator
    from concordant.collect.heartbeat import GeneratorState, Heartbeat
    from concordant.collect.supervisor import stop_with_parent
    from concordant.store.registry import SnapshotKind, active_deployments

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    if supervised:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent tells us to end
        stop_with_parent(stop)
    heartbeat = Heartbeat(programme.path / HEARTBEAT)
    with heartbeat.beating(lambda: GeneratorState.STARTING):
        samplers = _samplers(programme, db, scripted)
        for snapshot in (deployment.snapshot for deployment in active_deployments(db)):
            if snapshot.kind is not SnapshotKind.WRITTEN:
                samplers(snapshot)  # loaded before the first message comes
    run_generator(db, samplers, stop, heartbeat=heartbeat)


def _samplers(programme: "Programme", db: "Database", scripted: float | None) -> "Callable[[Snapshot], Sampler]":
    if scripted is None:
        from concordant.serving_models import snapshot_samplers

        return snapshot_samplers(programme, db)
    from concordant.collect.scripted_replies import scripted_replies
    from concordant.store.registry import SnapshotKind, add_snapshot, deploy, standing_deployments

    if not any(one.snapshot.kind is not SnapshotKind.WRITTEN for one in standing_deployments(db)):
        spec = {"folder": "scripted", "adapter": None}
        deploy(db, add_snapshot(db, "scripted-replies", SnapshotKind.MODEL, spec).id, 1.0)
    sampler = scripted_replies(scripted)
    return lambda snapshot: sampler


def simulate_(args: argparse.Namespace) -> Outcome:
    from concordant.collect.serving import answers, running_server
    from concordant.collect.simulate import Plan, simulate
    from concordant.collect.taste import ScriptedTaste
    from concordant.programme import Programme

    if args.conversations < 1 or args.concurrency < 1:
        raise UserError("N and --concurrency must be at least 1")
    if not 0 <= args.pause <= 3600:
        raise UserError(f"--pause {args.pause:g} is not between 0 and 3600 seconds")
    programme = Programme.open(args.dir)
    url = args.url.rstrip("/") if args.url else running_server(programme.path)
    if url is None:
        raise UserError(f"no pages are served from {args.dir}; start them with 'concordant serve --dir {args.dir}'")
    if not answers(url):
        raise UserError(f"no pages of concordant answer at {url}; start them with 'concordant serve'")
    if args.log is not None and not args.log.parent.is_dir():
        raise UserError(f"--log {args.log}: the folder {args.log.parent} does not exist; make it first")
    seed = programme.config.seed if args.seed is None else args.seed
    asked = {"conversations": args.conversations, "objective": args.objective, "study": args.study, "seed": seed}
    errand = programme.errand("simulate", asked)
    left = errand.goal() or args.conversations
    if left < args.conversations:
        print(f"going on with the {left} conversations that an interrupted start left", file=sys.stderr, flush=True)
    plan = Plan(
        url=url,
        conversations=left,
        objectives=_objectives(args.objective),
        study=args.study,
        workers=args.concurrency,
        taste=ScriptedTaste(seed=seed + args.conversations - left),  # what goes on does not say the same again
        pause=args.pause,
        log=args.log,
    )
    with store_of(programme) as db, _progress(left, errand.keep) as on_progress:
        report = simulate(db, programme.config.collect, plan, on_progress)
    errand.end()
    return Outcome(
        f"{report.conversations} conversations and {report.choices} choices by scripted workers "
        f"in {report.seconds:.0f} s",
        {
            "conversations": report.conversations,
            "choices": report.choices,
            "repeats": report.repeats,
            "seconds": round(report.seconds, 1),
            "worker": "scripted",
            "study": args.study,
        },
    )


def _objectives(name: str) -> "tuple[Objective, ...]":
    from concordant.comparison import Objective

    return tuple(Objective) if name == "both" else (Objective(name),)


@contextmanager
def _progress(conversations: int, keep: "Callable[[int], None]") -> "Iterator[Callable[[int, int], None]]":
    """A bar with the rate and the time left, on standard error; ``keep`` is told how many conversations are left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("conversations"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[choices]} choices"), console=Console(stderr=True)) as bar:
        task = bar.add_task("", total=conversations, choices=0)

        def told(done: int, choices: int) -> None:
            if done > bar.tasks[task].completed:
                keep(conversations - done)
            bar.update(task, completed=done, choices=choices)

        keep(conversations)
        yield told
