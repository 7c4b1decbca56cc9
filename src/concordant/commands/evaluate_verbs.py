"""``concordant evaluate pm | calibration | hhh | elo | frontier``: numbers, and pictures of them."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.best_of_verb import add_best_of
from concordant.commands.outcome import Outcome, Verbs, add_json
from concordant.errors import UserError

if TYPE_CHECKING:
    from collections import Counter

    from concordant.comparison import Preference
    from concordant.evaluate.figures import Figure, Missing


def add(verbs: Verbs) -> None:
    """Add the verb ``evaluate``."""
    evaluate: Verbs = verbs.add_parser("evaluate", help="measure models against people's choices").add_subparsers(
        title="what", metavar="<what>", required=True
    )
    _add_pm(evaluate.add_parser("pm", help="a preference model's accuracy on comparisons"), evaluate_pm_)
    _add_pm(
        evaluate.add_parser("calibration", help="score differences against accuracy (Fig. 9)"), evaluate_calibration_
    )

    hhh = evaluate.add_parser("hhh", help="a preference model on the HHH evaluation, by category (Fig. 5, 10)")
    hhh.add_argument("pm", type=Path, metavar="RUN", help="a preference model's run, or its model folder")
    hhh.add_argument(
        "files",
        type=Path,
        nargs="+",
        metavar="FILE",
        help='JSON lines of {"category", "prompt", "chosen", "rejected"}, or task files of BIG-bench',
    )
    _add_out(hhh)
    hhh.set_defaults(run=evaluate_hhh_)

    elo = evaluate.add_parser("elo", help="ratings from judged pairs, with intervals over workers")
    elo.add_argument(
        "file", type=Path, metavar="FILE.csv", help="model_a,model_b,winner(a|b),worker[,strength][,shown_left]"
    )
    elo.add_argument("--anchor", metavar="MODEL", help="the model at 0 (default: the one with the most games)")
    _add_out(elo)
    elo.set_defaults(run=evaluate_elo_)

    frontier = evaluate.add_parser("frontier", help="a policy run's score against √KL (Fig. 4, 13)")
    frontier.add_argument("policy_run", type=Path, metavar="RUN", help="a policy run's folder")
    _add_out(frontier)
    frontier.set_defaults(run=evaluate_frontier_)
    add_best_of(evaluate)


def _add_pm(parser: argparse.ArgumentParser, run: object) -> None:
    parser.add_argument(
        "pm", type=Path, nargs="+", metavar="RUN", help="a preference model's run or model folder; several: an ensemble"
    )
    parser.add_argument(
        "--combine",
        choices=("mean", "minimum"),
        default="mean",
        help="how the scores of several become one, after each model's mean on the comparisons is subtracted",
    )
    parser.add_argument(
        "--data", type=Path, nargs="+", required=True, metavar="FILE", help="HH .jsonl[.gz] files, or frozen data sets"
    )
    parser.add_argument(
        "--harmless", type=Path, nargs="+", metavar="FILE", help="more HH files, in which the less harmful is chosen"
    )
    parser.add_argument("--objective", choices=("helpful", "harmless"), help="only comparisons for this objective")
    parser.add_argument("--limit", type=int, metavar="N", help="at most N comparisons, drawn with a fixed seed")
    parser.add_argument(
        "--train",
        type=Path,
        nargs="+",
        metavar="FILE",
        help="comparisons to fit a bag-of-words baseline on; openings that are measured on are left out",
    )
    _add_out(parser)
    parser.set_defaults(run=run)


def _add_out(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures: SVG, and CSV beside each")
    add_json(parser)


def evaluate_pm_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import pm_text
    from concordant.evaluate.pm_figures import by_threshold_figure, by_turn_figure, calibration_figure

    evaluation = _measure(args)
    drawn = [draw(evaluation) for draw in (calibration_figure, by_turn_figure, by_threshold_figure)]
    name = ", ".join(map(str, args.pm)) if len(args.pm) == 1 else f"{args.combine} of {len(args.pm)} models"
    return _outcome(pm_text(name, evaluation), evaluation, _write(drawn, args.out))


def evaluate_calibration_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import calibration_text
    from concordant.evaluate.pm_figures import calibration_figure

    evaluation = _measure(args)
    figure = calibration_figure(evaluation)
    json = {"n": evaluation["n"], "ece": evaluation["ece"], **evaluation["calibration"]}
    return _outcome(calibration_text(evaluation, figure), json, _write([figure], args.out))


def evaluate_hhh_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import hhh_text
    from concordant.commands.progress import progress
    from concordant.evaluate.hhh import evaluate_hhh
    from concordant.evaluate.hhh_figures import category_figure, difference_figure
    from concordant.evaluate.hhh_items import read_hhh
    from concordant.evaluate.run_material import save_hhh
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run

    _refuse_out(args.out)
    items, dropped = read_hhh(args.files)
    model = PreferenceModel.load(args.pm)
    with progress("scoring") as watch:
        evaluation = evaluate_hhh(model, items, watch, dropped).json()
    if _keeps_results(args.pm):
        save_hhh(Run.open(args.pm), evaluation)
    written = _write([category_figure(evaluation), difference_figure(evaluation)], args.out)
    return _outcome(hhh_text(str(args.pm), evaluation), evaluation, written)


def evaluate_elo_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import elo_text
    from concordant.evaluate.board_figures import board_figure
    from concordant.evaluate.elo import board
    from concordant.evaluate.games_csv import read_games

    file = read_games(args.file)
    result = board(file.games, args.anchor, file.dropped).json() | {"ignored_columns": list(file.ignored_columns)}
    return _outcome(elo_text(result), result, _write([board_figure(result)], args.out))


def evaluate_frontier_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import frontier_text
    from concordant.evaluate.frontier import fit_frontier
    from concordant.evaluate.policy_figures import frontier_figure
    from concordant.runs import Run

    run = Run.open(args.policy_run)
    if run.head.get("kind") != "policy":
        raise UserError(f"{args.policy_run} is no policy run; give the folder that 'concordant train policy' printed")
    rows = run.metrics()
    result = fit_frontier(rows).json()
    figure = frontier_figure(rows)
    return _outcome(frontier_text(figure), result, _write([figure], args.out))


def _outcome(text: str, json: dict[str, Any], written: Sequence[str]) -> Outcome:
    """The result with the paths of its figures, where some were written."""
    return Outcome("\n".join([text, *written]), json | ({"files": list(written)} if written else {}))


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """Score the files' comparisons and measure; the folder of a single run keeps the result for its report."""
    from concordant.commands.progress import progress
    from concordant.evaluate.run_material import save_evaluation
    from concordant.evaluate.scoring import evaluate_pm
    from concordant.models.ensemble import load_scorer
    from concordant.runs import Run

    _refuse_out(args.out)
    preferences, dropped = _test_comparisons(args)
    words = None
    if args.train:
        from concordant.commands.comparison_files import read_comparisons
        from concordant.evaluate.bag_of_words import fit_bag_of_words

        words = fit_bag_of_words(read_comparisons(args.train, args.objective)[0], preferences)
    model = load_scorer(args.pm, args.combine, preferences)
    with progress("scoring") as watch:
        evaluation = evaluate_pm(model, preferences, watch, dropped, words).json()
    if len(args.pm) == 1 and _keeps_results(args.pm[0]):
        save_evaluation(Run.open(args.pm[0]), evaluation)
    return evaluation


def _test_comparisons(args: argparse.Namespace) -> "tuple[list[Preference], Counter[str]]":
    """(what is measured on, rows that could not be read by reason)."""
    import random

    from concordant.commands.comparison_files import read_comparisons

    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit} must be at least 1")
    if args.harmless and args.objective:
        raise UserError(f"--harmless goes without --objective {args.objective}; give those files as --data")
    preferences, dropped = read_comparisons(args.data, args.objective)
    if args.harmless:
        more, unread = read_comparisons(args.harmless, "harmless")
        preferences, dropped = preferences + more, dropped + unread
    if args.limit is not None:
        preferences = random.Random("limit").sample(preferences, min(args.limit, len(preferences)))
    return preferences, dropped


def _keeps_results(folder: Path) -> bool:
    """Whether a result belongs beside the model: the folder is a finished run's and can be written."""
    return (folder / "result.json").exists() and os.access(folder, os.W_OK)


def _refuse_out(out: Path | None) -> None:
    """Raise before anything is measured where figures could not be written."""
    if out is not None and out.is_file():
        raise UserError(f"--out {out} is a file; give a folder")


def _write(figures: "Sequence[Figure | Missing]", out: Path | None) -> list[str]:
    """Write the two files of every figure that was drawn; returns their paths.

    Raises:
        UserError: none was drawn.
    """
    from concordant.evaluate.figures import Figure, Missing
    from concordant.runs import write_whole

    if out is None:
        return []
    _refuse_out(out)
    drawn = [figure for figure in figures if isinstance(figure, Figure)]
    if not drawn:
        why = next(figure.why for figure in figures if isinstance(figure, Missing))
        raise UserError(f"no figure was drawn: {why}")
    files: dict[Path, str] = {}
    for figure in drawn:
        files[out / f"{figure.question.name}.svg"] = figure.svg
        files[out / f"{figure.question.name}.csv"] = figure.csv
    for path, content in files.items():
        write_whole(path, content)
    return [str(path) for path in files]
