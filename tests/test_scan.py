"""What a scan will make, before it makes anything."""

from pathlib import Path

import pytest

from concordant.comparison import Comparison, Objective, Preference
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.mixture import Source
from concordant.scan import Plan, comparisons_scan, mixture_scan, setting_scan, skill_scan
from concordant.train_config import PreferenceModelConfig


def rows(count: int, objective: Objective = Objective.HELPFUL) -> list[Preference]:
    return [
        Preference(Comparison(Conversation().human(f"{objective} {i}"), "good", "bad"), "a", objective)
        for i in range(count)
    ]


def plan(*sources: Source, **settings: object) -> Plan:
    values: dict[str, object] = {
        "folder": Path("scan"),
        "sources": sources or (Source("helpful", rows(100)), Source("harmless", rows(60, Objective.HARMLESS))),
        "tests": {"helpful": rows(5)},
        "config": PreferenceModelConfig(),
        "models": {"small": Path("small"), "large": Path("large")},
        "seeds": (0, 1),
        "record": {"data": "d"},
    }
    return Plan(**{**values, **settings})  # type: ignore[arg-type]


def test_the_first_seeds_whole_curve_comes_first() -> None:
    cells = comparisons_scan(plan(), [10, 20]).cells
    found = [(cell.config.seed, cell.model, cell.x) for cell in cells]
    assert found == [(seed, model, float(size)) for seed in (0, 1) for model in ("small", "large") for size in (10, 20)]
    assert [cell.config.model for cell in cells[:3]] == ["small", "small", "large"]


def test_a_learning_curve_adds_comparisons_and_swaps_none() -> None:
    small, large, *_ = comparisons_scan(plan(models={"small": Path("small")}), [10, 20]).cells
    assert large.mixture.preferences[:10] == small.mixture.preferences
    assert len(large.mixture.preferences) == 20


def test_the_cells_of_one_curve_stand_together_and_know_their_order() -> None:
    scan = comparisons_scan(plan(), [10, 20])
    assert [[cell.x for cell in curve] for curve in scan.curves()] == [[10, 20]] * 4
    assert {cell.config.order for cell in scan.cells} == {"given"} == {scan.plan.config.order}
    rates = setting_scan(plan(), "learning_rate", [1e-5, 2e-5], 10)
    assert [len(curve) for curve in rates.curves()] == [1] * 8
    with pytest.raises(UserError, match="keeps copies at its own sizes; leave out keep_at"):
        comparisons_scan(plan(config=PreferenceModelConfig(keep_at=(16,))), [10])


def test_sizes_double_up_to_what_there_is() -> None:
    source = Source("many", rows(4100))
    assert [cell.x for cell in comparisons_scan(plan(source, models={"m": Path()}, seeds=[0]), []).cells] == [
        1000,
        2000,
        4000,
    ]
    for sizes, asked in (([200], "200"), ([], "1,000")):
        with pytest.raises(UserError, match=f"{asked} comparisons were asked for, and 160 can be had"):
            comparisons_scan(plan(), sizes)
    weighted = plan(Source("a", rows(100), 1.0), Source("b", rows(60, Objective.HARMLESS), 3.0))
    assert comparisons_scan(weighted, [80]).cells[0].mixture.counts == [20, 60]
    with pytest.raises(UserError, match="and 80 can be had"):
        comparisons_scan(weighted, [100])


def test_mixtures_have_one_total() -> None:
    scan = mixture_scan(plan(models={"m": Path()}, seeds=[0]), [0.0, 0.3, 1.0], None)
    assert scan.key == "harmless_share"
    assert [cell.mixture.counts for cell in scan.cells] == [[60, 0], [42, 18], [0, 60]]
    helpful = [{row for row in cell.mixture.preferences if row.objective == "helpful"} for cell in scan.cells]
    assert helpful[1] < helpful[0]
    limited = mixture_scan(plan(models={"m": Path()}, seeds=[0]), [0.3], 20)
    assert limited.cells[0].mixture.counts == [14, 6]
    with pytest.raises(UserError, match="harmless has 60 comparisons, and its share of 100 is 80"):
        mixture_scan(plan(), [0.8], 100)


def test_any_number_of_the_config_can_be_scanned() -> None:
    scan = setting_scan(plan(), "learning_rate", [1e-5, 3e-5], None)
    assert [cell.config.learning_rate for cell in scan.cells] == [1e-5, 3e-5] * 4
    assert [len(cell.mixture.preferences) for cell in scan.cells] == [160] * 8
    seeds = setting_scan(plan(seeds=[0], models={"m": Path()}), "seed", [4.0, 5.0], 10).cells
    assert [cell.config.seed for cell in seeds] == [4, 5]
    assert seeds[0].mixture != seeds[1].mixture


@pytest.mark.parametrize(
    ("key", "values", "message"),
    [
        ("learning_rate", [-1.0], "learning_rate is -1.0: input should be greater than 0"),
        ("learningrate", [1.0], "unknown key 'learningrate'"),
        ("model", [1.0], "model is 1.0: input should be a valid string"),
        ("batch_size", [1.5], "batch_size is 1.5"),
        ("learning_rate", [1.0, 1.0], "each value must stand in the list once"),
        ("learning_rate", [], "each value must stand in the list once"),
    ],
)
def test_settings_that_cannot_be_scanned(key: str, values: list[float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        setting_scan(plan(), key, values, None)


def test_what_a_scan_of_mixtures_needs() -> None:
    with pytest.raises(UserError, match="sets the weights itself"):
        mixture_scan(plan(Source("a", rows(9), 1.0)), [0.5], None)
    with pytest.raises(UserError, match="holds no harmless comparison"):
        mixture_scan(plan(Source("a", rows(9))), [0.5], None)
    with pytest.raises(UserError, match="each seed must stand in the list once"):
        mixture_scan(plan(seeds=[1, 1]), [0.5], None)


def test_a_second_task_alone_and_with_the_first() -> None:
    scan = skill_scan(plan(models={"small": Path("small")}, seeds=(0,)), None)
    assert [(cell.x, cell.mixture.counts) for cell in scan.cells] == [(0, [100, 0]), (1, [0, 60]), (2, [100, 60])]
    alone, other, both = (cell.mixture.preferences for cell in scan.cells)
    assert both == alone + other
    few = skill_scan(plan(models={"small": Path("small")}, seeds=(0,)), 70)
    assert [cell.mixture.counts for cell in few.cells] == [[70, 0], [0, 60], [70, 60]]
    assert len(few.curves()) == 3
