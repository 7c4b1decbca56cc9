from pathlib import Path

import pytest

from concordant.evaluate.run_table import pm_rows, policy_row
from concordant.runs import Json, Run
from reported import evaluation

PARENTS = {"data": "helpful=a.jsonl.gz@1a2b, harmless=b.jsonl@3c4d", "mixed": "20 of a, 30 of b", "base": "smollm2"}


def pm(path: Path, seed: int, parents: dict[str, str] = PARENTS, **config: object) -> Run:
    run = Run.begin(path, "pm", {"seed": seed, "checkpoint_seconds": 60.0 * seed, **config}, parents)
    run.finish({"comparisons": 50})
    return run


def measured(accuracy: float, nll: float = 0.6) -> Json:
    ends = [accuracy - 0.03, accuracy + 0.05]
    return evaluation() | {"accuracy": accuracy, "ci95": ends, "nll": nll, "ece": accuracy / 10}


def test_seeds_of_one_setting_are_one_row(tmp_path: Path) -> None:
    runs = [pm(tmp_path / f"pm-{seed}", seed) for seed in (0, 1, 2)]
    found = [measured(0.60, 0.65), measured(0.66, 0.62), measured(0.63, 0.59)]
    (row,) = pm_rows(list(zip(runs, found, strict=True)))
    assert row["names"] == ["pm-0", "pm-1", "pm-2"] and row["seeds"] == [0, 1, 2]
    assert row["accuracy"] == pytest.approx(0.63) and row["accuracies"] == [0.60, 0.66, 0.63]
    assert row["ci95"] == pytest.approx([0.60, 0.68])
    assert row["nll"] == pytest.approx(0.62) and row["ece"] == pytest.approx(0.063)
    assert row["data"] == "helpful=a.jsonl.gz, harmless=b.jsonl (20 of a, 30 of b)"
    assert (row["base"], row["comparisons"], row["n"], row["collapsed"]) == ("smollm2", 50, 60, False)


def test_another_setting_other_data_or_another_exam_is_another_row(tmp_path: Path) -> None:
    first = pm(tmp_path / "a", 0)
    others = [
        (pm(tmp_path / "b", 1, lora_rank=16), measured(0.6)),
        (pm(tmp_path / "c", 1, PARENTS | {"data": "helpful=a.jsonl.gz@ffff"}), measured(0.6)),
        (pm(tmp_path / "d", 1), measured(0.6) | {"n": 61}),
        (pm(tmp_path / "e", 1), measured(0.6) | {"by_file": {}}),
    ]
    for other in others:
        assert len(pm_rows([(first, measured(0.6)), other])) == 2
    assert pm_rows([(first, measured(0.6)), (pm(tmp_path / "f", 1), measured(0.5) | {"collapsed": True})])[0][
        "collapsed"
    ]


def policy(path: Path, result: Json | None, updates: int = 9) -> Run:
    run = Run.begin(path, "policy", {"seed": 5}, {"pm": "pm-1@aabb"})
    for x in range(updates):
        run.log({"step": x + 1, "samples": 8 * x, "score": 0.5 * x, "score_se": 0.1, "kl": float(x * x)})
    if result is not None:
        run.finish(result)
    return run


def test_a_policy_with_held_out_prompts(tmp_path: Path) -> None:
    before = {"n": 32, "score": -0.2, "score_se": 0.3, "test_score": 0.0, "kl": 0.0}
    after = {"n": 32, "score": 1.0, "score_se": 0.4, "test_score": 0.5, "kl": 3.5}
    row = policy_row(policy(tmp_path / "p", {"before": before, "after": after}))
    assert row["gain"] == pytest.approx(1.2) and row["gain_se"] == pytest.approx(0.5)  # √(0.09 + 0.16)
    assert (row["test_gain"], row["kl"], row["samples"], row["updates"]) == (0.5, 3.5, 64, 9)
    assert row["slope"] == pytest.approx(0.5) and row["r2"] == pytest.approx(1.0)
    assert (row["pm"], row["seed"], row["parted"]) == ("pm-1", 5, None)


def test_a_policy_that_was_killed_early_shows_what_it_has(tmp_path: Path) -> None:
    row = policy_row(policy(tmp_path / "p", None, updates=2))
    assert row["gain"] == 0.5 and row["gain_se"] is None and row["test_gain"] is None
    assert row["slope"] is None and row["slope_ci95"] is None and row["kl"] == 1.0
