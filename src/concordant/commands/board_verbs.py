"""``concordant evaluate elo | plan``: boards of judged pairs, and how many more votes they need."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.figure_files import add_out, outcome_with, refuse_out, write_figures
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.evaluate.board_plan import Standing
    from concordant.evaluate.elo import EloBoard, Settings
    from concordant.evaluate.games_csv import GamesFile

_FILE = "model_a,model_b,winner(a|b),worker[,strength][,shown_left][,conversation][,objective]"
_LOADS = (5, 10, 20, 50, 100)
_LOAD_FROM_NOTHING = 20


def add_elo(verbs: Verbs) -> None:
    """Add the verb ``evaluate elo``."""
    elo = verbs.add_parser("elo", help="ratings from judged pairs, with intervals over workers")
    elo.add_argument("file", type=Path, metavar="FILE.csv", help=_FILE)
    elo.add_argument("--anchor", metavar="MODEL", help="the model at 0 (default: the one with the most games)")
    elo.add_argument("--objective", choices=("helpful", "harmless"), help="only this board (default: each of its own)")
    elo.add_argument("--pair", nargs=2, metavar=("A", "B"), help="also how often A beats B, met or not")
    elo.add_argument(
        "--ordinal",
        action="store_true",
        help="let strengths count, the weakest too: a cumulative-logit model with thresholds the same to both sides",
    )
    elo.add_argument(
        "--draw",
        choices=("workers", "both"),
        default="workers",
        help="for the intervals, draw anew whole workers, or workers and then each one's conversations (wider)",
    )
    add_out(elo)
    elo.set_defaults(run=evaluate_elo_)


def add_plan(verbs: Verbs) -> None:
    """Add the verb ``evaluate plan``."""
    plan = verbs.add_parser("plan", help="how many more votes, of how many workers, an interval or a decision needs")
    plan.add_argument("file", type=Path, nargs="?", metavar="FILE.csv", help=f"what there is: {_FILE}")
    plan.add_argument("--pair", nargs=2, metavar=("A", "B"), help="between which models (default: the first two)")
    plan.add_argument(
        "--objective", choices=("helpful", "harmless"), help="which board of the file (default: the first)"
    )
    plan.add_argument("--half-width", type=float, metavar="ELO", help="wanted: a 95 %% interval of ± so many Elo")
    plan.add_argument("--gap", type=float, metavar="ELO", help="the gap to be decided (default: the board's)")
    plan.add_argument(
        "--power", type=float, default=0.8, help="wanted chance that the interval leaves out 0 (default 0.8)"
    )
    plan.add_argument("--votes-per-worker", type=int, metavar="M", help="of the pair (default: as on the board, or 20)")
    plan.add_argument(
        "--worker-sd", type=float, metavar="ELO", help="spread of workers' own gaps (default: the board's)"
    )
    add_json(plan)
    plan.set_defaults(run=evaluate_plan_)


def evaluate_elo_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import elo_text
    from concordant.evaluate.board_figures import board_figure
    from concordant.evaluate.games_csv import read_games

    refuse_out(args.out)
    file = read_games(args.file, keep_weakest=args.ordinal)
    objectives = [args.objective] if args.objective else list(file.objectives)
    boards: dict[str, dict[str, Any]] = {}
    refused: dict[str, UserError] = {}
    for objective in objectives:
        try:
            boards[objective] = _board_json(args, file, objective)
        except UserError as error:
            refused[objective] = error
    if not boards:
        raise next(iter(refused.values()))
    texts = [elo_text(board) for board in boards.values()]
    texts += [f"no board of {objective or 'unnamed'} replies: {error}" for objective, error in refused.items()]
    written = write_figures([board_figure(board) for board in boards.values()], args.out)
    result = next(iter(boards.values()))
    if len(objectives) > 1:
        lines = {objective: {"refused": str(error)} for objective, error in refused.items()}
        result = result | {"boards": {**boards, **lines}}
    return outcome_with("\n\n".join(texts), result, written)


def _board_json(args: argparse.Namespace, file: "GamesFile", objective: str) -> dict[str, Any]:
    made = _board(file, objective, _settings(args))
    result = made.json() | {"objective": objective or None, "ignored_columns": list(file.ignored_columns)}
    return result | ({"pair": made.win_rate(*args.pair)} if args.pair else {})


def _settings(args: argparse.Namespace) -> "Settings":
    from concordant.evaluate.board_draws import How
    from concordant.evaluate.elo import Settings

    return Settings(anchor=args.anchor, ordinal=args.ordinal, how=How(drawn=args.draw))


def _board(file: "GamesFile", objective: str, settings: "Settings") -> "EloBoard":
    from concordant.evaluate.elo import board

    votes, dropped = file.board(objective)
    return board(votes, dropped=dropped, settings=settings)


def evaluate_plan_(args: argparse.Namespace) -> Outcome:
    from concordant.bradley_terry import elo_from_gap
    from concordant.commands.evaluate_text import plan_text
    from concordant.evaluate.board_plan import Goal, need, sd_from_correlation

    pair, standing, now, load = _standing(args)
    load = args.votes_per_worker if args.votes_per_worker is not None else load
    goal = Goal(args.half_width, args.power)
    wanted = need(standing, goal, load)
    loads = sorted({*_LOADS, load})
    result = {
        "model_a": pair[0],
        "model_b": pair[1],
        "gap_elo": elo_from_gap(standing.gap),
        "goal": {"half_width": args.half_width, "power": None if args.half_width is not None else args.power},
        "now": now,
        "worker_correlation": standing.correlation,
        "worker_sd_elo": elo_from_gap(sd_from_correlation(standing.gap, standing.correlation)),
        **wanted.json(),
        "table": [need(standing, goal, number).json() for number in loads],
    }
    return Outcome(plan_text(result), result)


def _standing(
    args: argparse.Namespace,
) -> "tuple[tuple[str, str] | tuple[None, None], Standing, dict[str, Any] | None, int]":
    """(models, what is known about their gap, the same for people, votes of a worker)."""
    from concordant.bradley_terry import gap_from_elo
    from concordant.evaluate.board_plan import Standing, correlation_from_sd, standing_of
    from concordant.evaluate.elo import Settings
    from concordant.evaluate.games_csv import read_games

    for name, value in (("--worker-sd", args.worker_sd), ("--gap", args.gap)):
        if value is not None and not abs(value) < 4000:
            raise UserError(f"{name} {value} is no number of Elo below 4,000")
    if args.worker_sd is not None and args.worker_sd < 0:
        raise UserError(f"--worker-sd {args.worker_sd} must be at least 0")
    gap = None if args.gap is None else gap_from_elo(args.gap)
    if args.file is None:
        if args.worker_sd is None or args.pair or (gap is None and args.half_width is None):
            raise UserError("without FILE.csv, give --worker-sd, and --gap or --half-width, and no --pair")
        gap = gap or 0.0
        correlation = correlation_from_sd(gap, gap_from_elo(args.worker_sd))
        return (None, None), Standing(gap, correlation), None, _LOAD_FROM_NOTHING
    file = read_games(args.file)
    made = _board(file, args.objective or file.objectives[0], Settings())
    first, second = args.pair or (made.ratings[0].model, made.ratings[1].model)
    rate = made.win_rate(first, second)
    known_sd = None if args.worker_sd is None else gap_from_elo(args.worker_sd)
    standing = standing_of(made.fitted, first, second, known_sd)
    now = {"half_width": (rate["elo_ci95"][1] - rate["elo_ci95"][0]) / 2, "votes": made.n, "workers": made.workers}
    load = max(1, round(made.n / max(1, len(made.fitted.votes.workers))))
    return (first, second), standing if gap is None else standing.at(gap), now, load
