"""``concordant evaluate pm | calibration | hhh | frontier``: numbers, and pictures of them; the others stand apart."""

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.agreement_verb import add_agreement
from concordant.commands.best_of_verb import add_best_of
from concordant.commands.bias_verbs import add_bias
from concordant.commands.board_verbs import add_elo, add_plan
from concordant.commands.capability_verbs import add_capabilities
from concordant.commands.device_option import add_device, device_of
from concordant.commands.distill_verbs import add_evaluate as add_distill
from concordant.commands.figure_files import add_out, outcome_with, refuse_out, write_figures, write_measurement
from concordant.commands.likelihood_verb import add_likelihood
from concordant.commands.online_verbs import add_online
from concordant.commands.ood_verbs import add_ood
from concordant.commands.outcome import Outcome, Verbs
from concordant.commands.refusal_verb import add_refusals
from concordant.commands.tension_verb import add_tension
from concordant.errors import UserError

if TYPE_CHECKING:
    from collections import Counter

    from concordant.comparison import Preference


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
    add_device(hhh)
    add_out(hhh)
    hhh.set_defaults(run=evaluate_hhh_)

    add_elo(evaluate)
    add_plan(evaluate)
    add_agreement(evaluate)
    add_distill(evaluate)

    ood = add_ood(evaluate)
    add_out(ood)
    ood.set_defaults(run=evaluate_ood_)

    tension = add_tension(evaluate)
    add_out(tension)
    tension.set_defaults(run=evaluate_tension_)

    frontier = evaluate.add_parser("frontier", help="a policy run's score against √KL (Fig. 4, 13)")
    frontier.add_argument("policy_run", type=Path, metavar="RUN", help="a policy run's folder")
    add_out(frontier)
    frontier.set_defaults(run=evaluate_frontier_)
    add_best_of(evaluate)
    add_online(evaluate)
    add_likelihood(evaluate)
    add_capabilities(evaluate)
    add_bias(evaluate)
    add_refusals(evaluate)


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
    add_device(parser)
    add_out(parser)
    parser.set_defaults(run=run)


def evaluate_pm_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import pm_text
    from concordant.evaluate.pm_figures import by_threshold_figure, by_turn_figure, calibration_figure

    evaluation = _measure(args)
    drawn = [draw(evaluation) for draw in (calibration_figure, by_turn_figure, by_threshold_figure)]
    name = ", ".join(map(str, args.pm)) if len(args.pm) == 1 else f"{args.combine} of {len(args.pm)} models"
    return outcome_with(pm_text(name, evaluation), evaluation, write_figures(drawn, args.out))


def evaluate_calibration_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import calibration_text
    from concordant.evaluate.pm_figures import calibration_figure

    evaluation = _measure(args)
    figure = calibration_figure(evaluation)
    json = {"n": evaluation["n"], "ece": evaluation["ece"], **evaluation["calibration"]}
    return outcome_with(calibration_text(evaluation, figure), json, write_figures([figure], args.out))


def evaluate_hhh_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import hhh_text
    from concordant.commands.progress import progress
    from concordant.evaluate.hhh import evaluate_hhh
    from concordant.evaluate.hhh_figures import category_figure, difference_figure
    from concordant.evaluate.hhh_items import read_hhh
    from concordant.evaluate.run_material import save_hhh
    from concordant.models.preference_model import PreferenceModel
    from concordant.runs import Run

    refuse_out(args.out)
    items, dropped = read_hhh(args.files)
    model = PreferenceModel.load(args.pm, device_of(args))
    with progress("scoring") as watch:
        evaluation = evaluate_hhh(model, items, watch, dropped).json()
    if _keeps_results(args.pm):
        save_hhh(Run.open(args.pm), evaluation)
    written = write_figures([category_figure(evaluation), difference_figure(evaluation)], args.out)
    return outcome_with(hhh_text(str(args.pm), evaluation), evaluation, written)


def evaluate_ood_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.ood_verbs import measure_ood, ood_text
    from concordant.evaluate.ood_figures import by_layer_figure, by_outliers_figure

    refuse_out(args.out)
    result = measure_ood(args)
    drawn = [by_layer_figure(result), by_outliers_figure(result)]
    written = [*write_figures(drawn, args.out), *write_measurement("ood", result, args.out)]
    return outcome_with(ood_text(result), result, written)


def evaluate_tension_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.tension_verb import measure_tension_, tension_text
    from concordant.evaluate.tension_figure import tension_figure

    refuse_out(args.out)
    result = measure_tension_(args)
    written = [*write_figures([tension_figure(result)], args.out), *write_measurement("tension", result, args.out)]
    return outcome_with(tension_text(result), result, written)


def evaluate_frontier_(args: argparse.Namespace) -> Outcome:
    from concordant.commands.evaluate_text import frontier_text
    from concordant.evaluate.frontier import fit_frontier
    from concordant.evaluate.policy_figures import frontier_figure, parting_figure
    from concordant.parting import find_parting
    from concordant.runs import Run

    run = Run.open(args.policy_run)
    if run.head.get("kind") != "policy":
        raise UserError(f"{args.policy_run} is no policy run; give the folder that 'concordant train policy' printed")
    rows = run.metrics()
    result = fit_frontier(rows).json()
    figures = [frontier_figure(rows)]
    if any(row.get("test_score") is not None for row in rows):
        parting = find_parting(rows)
        result["test"] = fit_frontier(rows, "test_score").json()
        result["parted"] = None if parting is None else parting.json()
        figures.append(parting_figure(rows))
    text = "\n\n".join(frontier_text(figure) for figure in figures)
    return outcome_with(text, result, write_figures(figures, args.out))


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    """Score the files' comparisons and measure; the folder of a single run keeps the result for its report."""
    from concordant.commands.progress import progress
    from concordant.evaluate.ensemble_scores import evaluate_ensemble
    from concordant.evaluate.run_material import save_evaluation
    from concordant.evaluate.scoring import evaluate_pm
    from concordant.models.ensemble import Ensemble, load_scorer
    from concordant.runs import Run

    refuse_out(args.out)
    preferences, dropped = _test_comparisons(args)
    words = None
    if args.train:
        from concordant.commands.comparison_files import read_comparisons
        from concordant.evaluate.bag_of_words import fit_bag_of_words

        words = fit_bag_of_words(read_comparisons(args.train, args.objective)[0], preferences)
    model = load_scorer(args.pm, args.combine, preferences, device_of(args))
    with progress("scoring") as watch:
        measured = (
            evaluate_ensemble(model, preferences, watch, dropped, words)
            if isinstance(model, Ensemble)
            else evaluate_pm(model, preferences, watch, dropped, words)
        )
    evaluation = measured.json()
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
