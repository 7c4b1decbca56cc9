"""``concordant demo``, ``init`` and ``iterate``: a programme, and turns of its circle."""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.outcome import Outcome, Verbs, add_json, add_programme
from concordant.commands.progress import TerminalStages
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.collect.serving import Links
    from concordant.programme import Programme

STAGES = {
    "model": "base model",
    "collect": "people talk and choose (scripted)",
    "freeze": "data set frozen",
    "pm": "preference model",
    "policy": "policy, by PPO",
    "deploy": "new snapshot beside the old",
    "compare": "old against new (scripted)",
    "report": "Elo and report",
}


def add(verbs: Verbs) -> None:
    """Add the verbs ``demo``, ``init`` and ``iterate``."""
    demo = verbs.add_parser("demo", help="the whole circle on this machine, from nothing")
    demo.add_argument("--quick", action="store_true", help="the same, smaller: about 3 minutes instead of 15")
    demo.add_argument(
        "--dir", type=Path, metavar="D", help="the programme's folder (default: concordant-demo, or concordant-quick)"
    )
    demo.add_argument("--then-stop", action="store_true", help="end when the circle is closed, pages and all")
    add_json(demo)
    demo.set_defaults(run=demo_)

    init = verbs.add_parser("init", help="make a programme's folder")
    init.add_argument("dir", type=Path, metavar="DIR", help="the folder")
    init.set_defaults(run=init_)

    iterate = verbs.add_parser("iterate", help="turns of the online loop, with what is served from the folder")
    iterate.add_argument("--iterations", type=int, default=1, metavar="N", help="how many (default 1)")
    add_programme(iterate)
    add_json(iterate)
    iterate.set_defaults(run=iterate_)


def demo_(args: argparse.Namespace) -> Outcome:
    import sys

    from concordant.demo import FULL, QUICK, running_demo

    folder = args.dir or Path("concordant-quick" if args.quick else "concordant-demo")
    stages = TerminalStages(STAGES)
    with running_demo(folder, QUICK if args.quick else FULL, stages) as demo:
        table = closing_table(demo.steps, stages.seconds)
        json = {"dir": str(folder), "steps": demo.steps, "stage_seconds": stages.seconds}
        if args.then_stop:
            return Outcome(f"{table}\n\n{folder / 'report' / 'index.html'}", json)
        # The pages stay until Ctrl-C, so the result is printed before the command ends.
        print(f"{table}\n\n{_invitation(demo.links, folder)}", file=sys.stderr if args.json else sys.stdout, flush=True)
        _wait()
    return Outcome("ended; the same command serves it again", json)


def _invitation(links: "Links", folder: Path) -> str:
    return (
        f"Both snapshots are being served:\n  worker      {links.worker}\n  researcher  {links.researcher}\n"
        f"  report      {folder / 'report' / 'index.html'}\nCtrl-C ends the pages; the same command serves them again."
    )


def _wait() -> None:
    import threading

    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        return


def init_(args: argparse.Namespace) -> Outcome:
    from concordant.programme import Programme

    programme = Programme.init(args.dir)
    return Outcome(f"{programme.path} is a programme; next: concordant serve --dir {programme.path}")


def iterate_(args: argparse.Namespace) -> Outcome:
    from concordant.collect.serving import running_server
    from concordant.online import Iteration, iterate, unfinished_iteration
    from concordant.programme import Programme
    from concordant.serving_models import ensure_base
    from concordant.store.database import Database

    if args.iterations < 1:
        raise UserError(f"--iterations {args.iterations} must be at least 1")
    programme = Programme.open(args.dir)
    url = running_server(programme.path)
    if url is None:
        raise UserError(
            f"no pages are served from {args.dir}, and workers need them; start 'concordant serve --dir {args.dir}'"
        )
    database = Database.open(programme.store_url)
    done, tables = {}, []
    try:
        ensure_base(programme, database)
        for number in _numbers(programme, args.iterations, unfinished_iteration(database)):
            steps = iterate(Iteration(programme, database, number, url, TerminalStages(STAGES)))
            done[str(number)] = steps
            tables.append(f"Iteration {number}\n{closing_table(steps, {})}")
    finally:
        database.close()
    return Outcome("\n\n".join(tables), {"iterations": done})


def _numbers(programme: "Programme", iterations: int, first: int) -> Iterator[int]:
    """Numbers of the iterations to make: as many as were asked for, or what an interrupted start left of them."""
    errand = programme.errand("iterate", {"iterations": iterations})
    last = errand.goal()
    if last is None or last < first:
        last = first + iterations - 1
    errand.keep(last)
    yield from range(first, last + 1)
    errand.end()


def closing_table(steps: dict[str, dict[str, Any]], before_it: dict[str, float]) -> str:
    """What an iteration came to, in at most 80 columns.

    Args:
        steps: outputs of its steps by name.
        before_it: seconds of stages that are no steps of it, such as fetching the base model; others are left out.
    """
    from concordant.commands.progress import clock
    from concordant.online_report import by_kind

    frozen, pm, policy, compared = steps["freeze"], steps["pm"], steps["policy"], steps["compare"]
    before, after = policy["before"], policy["after"]
    rows = [
        (
            "comparisons",
            f"{frozen['comparisons']} to learn from ({by_kind(frozen)}), {compared['choices']} old against new",
        ),
        (
            "preference model",
            f"{_percent(pm['accuracy'])} {_interval(pm['ci95'], 100)} on {pm['n']} unseen comparisons",
        ),
        ("  longer reply wins", _percent(pm["length_baseline"]["longer_wins"])),
    ]
    if before:
        rows += [
            (
                "score",
                f"{before['score']:+.2f} ± {before['score_se']:.2f} → {after['score']:+.2f} ± {after['score_se']:.2f}",
            ),
            ("KL, nats per reply", f"{before['kl']:.2f}  →  {after['kl']:.2f}"),
            ("replies that end", f"{_percent(before['finished'])}  →  {_percent(after['finished'])}"),
        ]
    rows += _board_rows(steps)
    seconds = {name: taken for name, taken in before_it.items() if name not in steps}
    seconds |= {name: step["seconds"] for name, step in steps.items()}
    times = [(f"  {STAGES[name]}", clock(taken)) for name, taken in seconds.items()]
    times.append(("  in all", clock(sum(seconds.values()))))
    lines = [f"{name:<22} {value}" for name, value in rows]
    return "\n".join(["", *lines, "time", *(f"{name:<37} {value:>7}" for name, value in times)])


def _board_rows(steps: dict[str, dict[str, Any]]) -> list[tuple[str, str]]:
    report = steps["report"]
    if "board" not in report:
        return [("Elo", report["no_board"])]
    board = report["board"]
    return [
        (
            f"Elo of {rating['model']}"[:22],
            f"{rating['elo']:+.0f} {_interval(rating['ci95'], 1)} against {board['anchor']}, {rating['games']} games",
        )
        for rating in board["ratings"]
        if rating["model"] != board["anchor"]
    ]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _interval(ends: list[float], scale: int) -> str:
    return f"[{scale * ends[0]:.0f}, {scale * ends[1]:.0f}]"
