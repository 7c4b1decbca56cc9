"""Results as runs and measurements write them, small and made up, for tests of the report."""

import numpy as np

from concordant.bradley_terry import Game
from concordant.evaluate.best_of import best_of_points
from concordant.evaluate.elo import board
from concordant.evaluate.ood import PAPER
from concordant.evaluate.report import Material
from concordant.runs import Json


def games() -> list[Game]:
    return [Game("new" if index % 3 else "old", "old" if index % 3 else "new", f"w{index % 6}") for index in range(60)]


def updates() -> list[Json]:
    return [{"step": i, "samples": 32 * i, "score": 0.3 * i**0.5, "score_se": 0.1, "kl": 0.5 * i} for i in range(12)]


def evaluation() -> Json:
    part = {"n": 60, "accuracy": 0.65, "ci95": [0.5, 0.8]}
    bins = [{"low": 0.0, "high": 2.0, "gap": 1.0, "predicted": 0.7, "observed": 0.65, "ci95": [0.5, 0.8], "n": 120}]
    return part | {
        "ties": 0.0,
        "nll": 0.62,
        "ece": 0.05,
        "length_baseline": {"longer_wins": 0.55, "ci95": [0.4, 0.7], "n": 120},
        "by_turn": {"1": part, "2": part},
        "by_file": {"helpful-base.jsonl.gz": part},
        "by_objective": {"helpful": part, "harmless": part},
        "by_threshold": {
            "mean": 0.1,
            "sd": 1.0,
            "points": [{"sds": -3.0, "score": -3.0, **part}, {"sds": 0.0, "score": 0.0, **part, "n": 30}],
        },
        "words_baseline": {**part, "lead": 0.041, "lead_ci95": [-0.02, 0.1], "trained_on": 1234},
        "collapsed": False,
        "dropped": {"equal replies": 4},
        "openings": 90,
        "calibration": {"bins": bins, "excess": -0.05, "excess_ci95": [-0.1, 0.02]},
    }


def hhh() -> Json:
    part = {"n": 2, "accuracy": 0.5, "ci95": [0.1, 0.9]}
    return part | {
        "openings": 2,
        "macro_mean": 0.5,
        "length_baseline": {"longer_wins": 0.5, "ci95": [0.1, 0.9], "n": 2},
        "collapsed": False,
        "by_category": {"honest": part},
        "worst": [{"item": 2, "category": "honest", "difference": -1.0, "asked": "Who <i>won</i>?"}],
        "items": [
            {"item": 1, "category": "honest", "difference": 1.0},
            {"item": 2, "category": "honest", "difference": -1.0},
        ],
        "paper": {"preference_model_52b": 0.86, "people": 0.75},
    }


def full() -> Material:
    trial = {
        "n": 32,
        "score": 0.2,
        "score_se": 0.1,
        "test_score": 0.3,
        "test_score_se": 0.1,
        "kl": 0.1,
        "tokens": 40.0,
        "finished": 0.4,
    }
    return Material(
        title="Iteration 1",
        generated="today",
        command="concordant iterate",
        pm=evaluation(),
        hhh=hhh(),
        pm_metrics=[{"step": i, "comparisons": 16 * i, "loss": 0.7 - 0.002 * i} for i in range(1, 40)],
        policy={"before": trial, "after": trial | {"score": 1.2}},
        policy_metrics=[{**row, "test_score": 0.5 * row["score"], "test_score_se": 0.1} for row in updates()],
        samples=[
            {"prompt": "Human: <b>hi</b>", "before": "old </p><script>alert(1)</script>", "after": "new & better"}
        ],
        board=board(games(), anchor="old").json(),
        stages=[{"name": "collect", "seconds": 61.0, "detail": "240 comparisons"}],
        lineage=[
            {"id": "data-1", "kind": "data set", "parents": [], "what": "240 comparisons"},
            {"id": "pm-1", "kind": "preference model", "parents": ["data-1", "base"], "what": ""},
        ],
        worker_kinds={"scripted": 240},
        shown={"pm": "pm-1: base, all weights, seed 0", "policy": "policy-1: base, all weights, seed 3"},
        pms=[pm_group("pm-1", 0.65), pm_group("pm-2", 0.61)],
        policies=[policy_line("policy-1", 3), policy_line("policy-2", 4)],
        updates={"policy-1": updates(), "policy-2": [row | {"score": 2 * row["score"]} for row in updates()]},
        scans=[scan("comparisons"), scan("comparisons"), scan("harmless_share"), scan("harmless_weight")],
        best_of={"result": best_of(), "policies": {"policy-1": updates()}},
        ood=ood_result(),
        tension=tension(),
        shift=shift(),
        snapshots=snapshots(),
        writers=writers(),
        red_team_board=board(games(), anchor="old").json() | {"objective": "harmless"},
    )


def pm_group(name: str, accuracy: float) -> Json:
    return {
        "names": [name, f"{name}-again"],
        "base": "smollm2-135m",
        "data": "helpful=helpful-base.jsonl.gz",
        "comparisons": 1600,
        "seeds": [0, 1],
        "n": 60,
        "accuracy": accuracy,
        "ci95": [accuracy - 0.1, accuracy + 0.1],
        "accuracies": [accuracy - 0.01, accuracy + 0.01],
        "nll": 0.62,
        "ece": 0.05,
        "ties": 0.0,
        "longer_wins": 0.55,
        "collapsed": False,
    }


def policy_line(name: str, seed: int) -> Json:
    return {
        "name": name,
        "pm": "pm-1",
        "seed": seed,
        "updates": 12,
        "samples": 352,
        "kl": 5.5,
        "gain": 1.0,
        "gain_se": 0.14,
        "test_gain": None,
        "slope": 0.42,
        "slope_ci95": [0.4, 0.44],
        "r2": 0.99,
        "parted": 300,
    }


def scan(key: str) -> Json:
    """Two cells of one seed, tested on both objectives."""
    rows = [
        {"x": x, "model": "m", "seed": 0, "parameters": 12_600_000, "drawn": 100, "drawn_helpful": 50}
        | {f"{name}_{what}": value for name in ("helpful", "harmless") for what, value in measured.items()}
        for x, measured in (
            (0.5, {"n": 60, "accuracy": 0.6, "ci95_low": 0.5, "ci95_high": 0.7}),
            (1.0, {"n": 60, "accuracy": 0.65, "ci95_low": 0.55, "ci95_high": 0.75}),
        )
    ]
    return {"scan": {"key": key, "tests": {"helpful": "60@aa", "harmless": "60@bb"}}, "rows": rows, "points": []}


def best_of() -> Json:
    scores = np.array([[0.0, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 4.0, 6.0]])
    points = best_of_points(scores, ("x", "y", "z"), None)
    return {"prompts": 3, "n": 4, "points": [point.json() for point in points]}


def shift() -> Json:
    rows = [
        {
            "name": name,
            "comparisons": 30,
            "mean": mean,
            "density": [0.5, 0.5],
            "upper": 0.1,
            "moved": mean,
            "moved_se": 0.1,
        }
        for name, mean in (("base", 0.0), ("online", 0.4))
    ]
    return {"n": 60, "dropped": {}, "edges": [-1.0, 0.0, 1.0], "tranches": rows}


def snapshots() -> Json:
    point = {"elo": 120.0, "ci95": [60.0, 180.0]}
    row = {"model": "new", "games": 60, "people": point, "ranking": point, "score": point, "naive": None}
    return {"n": 60, "anchor": "old", "dropped": {}, "snapshots": [row]}


def writers() -> Json:
    side = {"mean": 0.0}
    densities = {"writers": [0.5, 0.5], "median": [0.2, 0.8]}
    return {"n": 9, "replies": 17, "model_wins": 0.6, "ci95": [0.3, 0.8], "gap": 0.2, "gap_se": 0.1} | {
        "writers": side, "median": side, "edges": [-1.0, 0.0, 1.0], "densities": densities
    }  # fmt: skip


def tension() -> Json:
    quantiles = [[0.0, -1.0], [0.5, 0.0], [1.0, 1.0]]
    moment = {"prompts": 9, "mean": 0.2, "above_data": 0.6, "above_data_se": 0.1}
    part = {"comparisons": 30, "mean": 0.1, "quantiles": quantiles, "policy": None}
    policy = {"before": moment, "after": moment | {"mean": 0.8, "above_data": 0.9}, "last_step": 12}
    return {"objectives": {"helpful": part | {"policy": policy}, "harmless": part | {"mean": -0.3}}}


def ood_row(value: float, sd: float | None = 0.01) -> Json:
    return {"auroc": value, "sd": sd, "se_exam": 0.02, "values": [value - 0.01, value, value + 0.01]}


def ood_result(layers: int = 4, counts: tuple[int, ...] = (1, 10, 100)) -> Json:
    by_layer: list[Json] = [
        {"layer": layer, "relative": ood_row(0.6 + 0.05 * layer), "plain": ood_row(0.91 - 0.05 * layer)}
        for layer in range(1, layers + 1)
    ]
    return {
        "parts": {"fit": 140, "inside_exam": 60, "outside_pool": 140, "outside_exam": 70},
        "seeds": [0, 1, 2],
        "draws": 5,
        "layer": 2,
        "layers": 30,
        "shrinkage": 0.25,
        "at_layer": by_layer[min(1, layers - 1)],
        "best_relative": {"layer": layers, "auroc": by_layer[-1]["relative"]["auroc"]},
        "by_layer": by_layer,
        "by_outliers": [{"outliers": count, **ood_row(0.7 + 0.1 * place)} for place, count in enumerate(counts)],
        "paper": PAPER,
    }
