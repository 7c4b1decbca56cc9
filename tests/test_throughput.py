from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.comparison import Objective, Tranche
from concordant.store.database import Database
from concordant.store.ledger import Books, Count, Ledger, Place
from concordant.store.throughput import Line, Throughput, Window, gini, share_of_top, throughput
from desk_stories import Clock, Story


@pytest.fixture
def story(database: Database, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(database, Clock(monkeypatch))


def counted(story: Story, **window: object) -> Throughput:
    with Ledger(story.db).open() as books:
        return throughput(books, Window(**window))  # type: ignore[arg-type]


def line(choices: int, weakest: int, talks: int, red_team: int = 0) -> Line:
    return Line(Count(choices, weakest, talks), red_team)


def test_the_story_by_everything(story: Story) -> None:
    found = counted(story)
    assert found.whole == line(6, 2, 4, 1)
    assert found.days == {"2026-03-01": line(3, 1, 2, 1), "2026-03-02": line(3, 1, 2)}
    assert found.work == {
        ("helpful", "online"): line(3, 2, 2),
        ("harmless", "online"): line(1, 0, 1, 1),
        ("helpful", "base"): line(2, 0, 1),
    }
    assert found.studies == {"pilot": line(2, 1, 1), "": line(4, 1, 3, 1)}
    assert found.models == {story.base.id: line(6, 2, 4, 1), story.policy.id: line(4, 2, 3, 1)}
    assert found.workers == {
        story.ann.id: line(4, 1, 2),
        story.ben.id: line(1, 0, 1, 1),
        story.script.id: line(1, 1, 1),
    }


def test_windows(story: Story) -> None:
    windows: list[tuple[dict[str, object], int]] = [
        ({"objective": Objective.HARMLESS}, 1),
        ({"tranche": Tranche.BASE}, 2),
        ({"tranche": Tranche.RS}, 0),
        ({"study": "pilot"}, 2),
        ({"study": ""}, 4),
        ({"model": story.policy.id}, 4),
        ({"worker": story.ann.id}, 4),
        ({"kind": "scripted"}, 1),
        ({"first": date(2026, 3, 2)}, 3),
        ({"last": date(2026, 3, 1)}, 3),
        ({"first": date(2026, 3, 3)}, 0),
    ]
    for window, number in windows:
        assert counted(story, **window).whole.total.choices == number, window


def test_days_without_a_choice_are_there_too() -> None:
    books = Books()
    with_gap = {"2026-02-27": 1, "2026-03-02": 2}
    books.models.tranches["m"] = Tranche.BASE
    for day, number in with_gap.items():
        books.counts[Place(day, "helpful", "", "w", "m", "m")] = Count(number, 0, 0)
    found = throughput(books, Window())
    assert {day: one.total.choices for day, one in found.days.items()} == {
        "2026-02-27": 1,
        "2026-02-28": 0,
        "2026-03-01": 0,
        "2026-03-02": 2,
    }


def test_shares_by_hand() -> None:
    assert share_of_top([4, 1, 1], top=1) == pytest.approx(4 / 6)
    assert share_of_top([1] * 100) == pytest.approx(0.2)
    assert share_of_top([]) is None and gini([]) is None
    # The Lorenz curve of 1, 1, 4 runs through 1/6 and 2/6: the area under it is (1/6 + 3/6 + 8/6) / 6 = 1/3.
    assert gini([4, 1, 1]) == pytest.approx(1 / 3)
    assert gini([0, 0, 0, 8]) == pytest.approx(3 / 4)


@given(st.lists(st.integers(0, 10**6), min_size=1).filter(any), st.integers(1, 9))
def test_how_unequal_numbers_are_does_not_depend_on_their_unit(numbers: list[int], times: int) -> None:
    found = gini(numbers)
    assert found is not None and -1e-9 <= found <= 1 - 1 / len(numbers) + 1e-9
    assert gini([times * number for number in numbers]) == pytest.approx(found, abs=1e-9)
    assert gini(numbers * 3) == pytest.approx(found, abs=1e-9)
    assert gini([numbers[0] + 1] * len(numbers)) == pytest.approx(0, abs=1e-9)
