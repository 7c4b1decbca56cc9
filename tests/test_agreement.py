import math

import krippendorff
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from concordant.agreement import Level, Pair, agreement, alpha, share, verdict_agreement

LEVELS: tuple[Level, ...] = ("nominal", "ordinal", "interval")


def table(values: int, *answers: tuple[int, int]) -> np.ndarray:
    found = np.zeros((values, values))
    for first, second in answers:
        found[first - 1, second - 1] += 1
    return found


def test_nominal_alpha_of_four_comparisons_by_hand() -> None:
    """A A, A A, B B, A B: eight answers, five A and three B; 1 − 7 · 2 / (2 · 5 · 3)."""
    found = table(2, (1, 1), (1, 1), (2, 2), (1, 2))
    assert alpha(found, "nominal") == pytest.approx(1 - 14 / 30)


def test_ordinal_and_interval_alpha_of_three_by_hand() -> None:
    """1 1, 2 2, 1 3. Three answers are 1, two 2, one 3, so their mean ranks are 1.5, 4 and 5.5.

    Ordinal: squared distances 6.25 (1-2), 2.25 (2-3), 16 (1-3); 1 − 5 · 2 · 16 / 2(6 · 6.25 + 2 · 2.25 + 3 · 16).
    Interval: 1, 1, 4; 1 − 5 · 2 · 4 / 2(6 + 2 + 12).
    """
    found = table(3, (1, 1), (2, 2), (1, 3))
    assert alpha(found, "ordinal") == pytest.approx(1 - 160 / 180)
    assert alpha(found, "interval") == pytest.approx(0.0)


def test_alpha_knows_nothing_where_all_say_the_same_or_only_one_thing_was_asked() -> None:
    assert math.isnan(alpha(table(2, (1, 1), (1, 1)), "nominal"))
    assert math.isnan(alpha(table(2, (1, 2)), "nominal"))
    assert alpha(table(2, (1, 2), (2, 1)), "nominal") == pytest.approx(-0.5), "worse than chance: 1 − 3 · 4 / 8"


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=40))
def test_alpha_is_that_of_the_independent_package(answers: list[tuple[int, int]]) -> None:
    assume(len({value for answer in answers for value in answer}) > 1)
    data = np.array(answers, dtype=float).T
    for level in LEVELS:
        theirs = krippendorff.alpha(reliability_data=data, level_of_measurement=level, value_domain=list(range(1, 9)))
        assert alpha(table(8, *answers), level) == pytest.approx(theirs, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 8), st.integers(1, 8)), min_size=2, max_size=30))
def test_who_was_first_and_which_reply_is_called_a_changes_nothing(answers: list[tuple[int, int]]) -> None:
    turned = table(8, *((second, first) for first, second in answers))
    mirrored = table(8, *((9 - first, 9 - second) for first, second in answers))
    for level in LEVELS:
        found = alpha(table(8, *answers), level)
        assert alpha(turned, level) == pytest.approx(found, nan_ok=True)
        assert alpha(mirrored, level) == pytest.approx(found, nan_ok=True)
    assert share(mirrored) == share(table(8, *answers))


def pair(first: int, second: int, workers: tuple[str, str] = ("a", "b"), objective: str = "helpful") -> Pair:
    return Pair(workers, objective, first, second)


def test_shares_by_hand_over_all_and_over_parts() -> None:
    """Buttons 1 to 4 are one reply, 5 to 8 the other: alike are 1 2, 4 1, 8 5; not 2 7, 5 4."""
    pairs = [pair(1, 2), pair(4, 1), pair(8, 5), pair(2, 7), pair(5, 4, objective="harmless")]
    found = agreement(pairs)
    assert (found.n, found.workers, found.drawn) == (5, 2, "comparisons"), "two workers are too few to draw"
    assert found.share.value == pytest.approx(3 / 5)
    assert found.decided.value == pytest.approx(1 / 2) and found.decided_n == 2, "without a 4 or a 5: 1 2 and 2 7"
    parts = {(one.by, one.key): (one.n, one.share.value) for one in found.groups}
    assert parts == {
        ("objective", "harmless"): (1, 0.0),
        ("objective", "helpful"): (4, 0.75),
        ("strength", "1"): (2, 0.5),
        ("strength", "3"): (1, 0.0),
        ("strength", "4"): (2, 1.0),
    }
    said = found.json()
    assert said["by_objective"]["helpful"]["n"] == 4 and said["paper"] == {"crew_and_researchers": 0.63}
    assert said["alpha"]["nominal"]["value"] == pytest.approx(
        alpha(table(2, (1, 1), (1, 1), (2, 2), (1, 2), (2, 1)), "nominal")
    )


def test_intervals_hold_the_value_and_are_wider_where_workers_differ() -> None:
    """With ten workers everybody agrees, with ten nobody: all answers about one of them are one piece of news."""
    pairs = [
        pair(1, 1 if worker < 10 else 8, (f"w{worker}", f"w{(worker + step) % 20}"))
        for worker in range(20)
        for step in range(1, 20)
    ]
    widths = {}
    for drawn in ("workers", "comparisons"):
        found = agreement(pairs, drawn)
        assert found.drawn == drawn and found.share.value == 0.5 and found.share.ci95 is not None
        assert found.share.ci95[0] < 0.5 < found.share.ci95[1]
        widths[drawn] = found.share.ci95[1] - found.share.ci95[0]
    assert widths["workers"] > 2 * widths["comparisons"] > 0.1


def test_one_person_who_gives_every_second_opinion_says_nothing_about_others() -> None:
    pairs = [pair(1, 1 if worker < 10 else 8, (f"w{worker}", "judge")) for worker in range(20) for _ in range(20)]
    assert agreement(pairs).share.ci95 is None, "in a third of the draws the judge is not among the drawn"
    assert agreement(pairs, "comparisons").share.ci95 is not None


def test_no_pairs_and_no_spread_have_no_numbers() -> None:
    assert agreement([]).json()["agreement"] == {"value": None, "ci95": None}
    same = agreement([pair(1, 1), pair(2, 2)])
    assert same.share.value == 1.0 and same.alpha["nominal"].value is None


def test_reviewers_agree_by_hand() -> None:
    found = verdict_agreement([(1, 1), (2, 2), (1, 3)])
    assert found.n == 3 and found.same == pytest.approx(2 / 3) and found.within_one == pytest.approx(2 / 3)
    assert found.alpha.value == pytest.approx(1 / 9)
    assert verdict_agreement([]).n == 0
