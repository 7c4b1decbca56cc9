"""Which preferences come out, and how many there are."""

from pathlib import Path

import pytest
from sqlalchemy import insert

from concordant.comparison import Objective, Preference, Tranche
from concordant.store.database import Database
from concordant.store.imports import import_files
from concordant.store.people import WorkerKind
from concordant.store.preferences import Filter, counts, preferences
from concordant.store.tables import ChoiceRow
from stories import base_model, best_of, draw, person, play, policy_model

HH = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: good", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: bad"}\n'


@pytest.fixture
def filled(database: Database, tmp_path: Path) -> Database:
    """Five choices (two of the weakest strength) and one imported row."""
    base, policy = base_model(database), policy_model(database)
    play(database, person(database), draw(base), [1, 4], study="first")
    script = person(database, "script", WorkerKind.SCRIPTED)
    play(database, script, draw(base, policy), [8, 5], study="board")
    play(database, script, draw(base, best_of(database, "bo4", base)), [2], Objective.HARMLESS)
    path = tmp_path / "file.jsonl"
    path.write_text(HH)
    import_files(database, [path], Objective.HARMLESS, Tranche.BASE)
    return database


def found(database: Database, **conditions: object) -> list[Preference]:
    return [one for _, one in preferences(database, Filter(**conditions))]  # type: ignore[arg-type]


FILTERS: list[tuple[dict[str, object], int]] = [
    ({}, 4),
    ({"keep_weakest": True}, 6),
    ({"objective": Objective.HELPFUL}, 2),
    ({"objective": Objective.HARMLESS}, 2),
    ({"tranche": Tranche.BASE}, 2),
    ({"tranche": Tranche.RS}, 1),
    ({"tranche": Tranche.ONLINE, "keep_weakest": True}, 2),
    ({"study": "board"}, 1),
    ({"study": ""}, 1),
    ({"study": "none such"}, 0),
    ({"models": ("base",)}, 1),
    ({"models": ("base", "policy")}, 2),
    ({"models": ("policy",)}, 0),
    ({"sources": "store"}, 3),
    ({"sources": "imported"}, 1),
    ({"sources": "imported", "objective": Objective.HELPFUL}, 0),
    ({"sources": "imported", "tranche": Tranche.ONLINE}, 0),
    ({"worker_kind": WorkerKind.PERSON, "keep_weakest": True}, 2),
    ({"worker_kind": WorkerKind.SCRIPTED}, 2),
    ({"worker_kind": WorkerKind.SIMULATED}, 0),
]


def test_a_filter_takes_what_it_says(filled: Database) -> None:
    for conditions, number in FILTERS:
        assert len(found(filled, **conditions)) == number, conditions


def test_the_order_is_stable_and_ids_are_unique(filled: Database) -> None:
    once, twice = (list(preferences(filled, Filter(keep_weakest=True))) for _ in range(2))
    assert once == twice
    assert len({key for key, _ in once}) == 6
    assert [one.source for _, one in once] == ["store"] * 5 + ["file.jsonl"]


def test_imported_rows_say_what_they_can(filled: Database) -> None:
    (one,) = found(filled, sources="imported")
    assert (one.chosen, one.rejected) == ("good", "bad")
    assert (one.strength, one.worker, one.models) == (None, None, None)


def test_a_superseded_choice_counts_no_more(filled: Database) -> None:
    first, _ = next(preferences(filled, Filter(sources="store")))
    with filled.write() as session:
        session.execute(insert(ChoiceRow).values(comparison_id=first, number=2, button=5, key="undo"))
    assert len(found(filled)) == 3, "it is of the weakest strength now"
    assert sum(group["weakest"] for group in counts(filled)) == 3


def test_counts_by_where_they_came_from(filled: Database) -> None:
    def group(objective: str, tranche: str, source: str, kind: str, n: int, weakest: int) -> dict[str, object]:
        return {
            "objective": objective,
            "tranche": tranche,
            "source": source,
            "worker_kind": kind,
            "n": n,
            "weakest": weakest,
        }

    assert counts(filled) == [
        group("harmless", "base", "file.jsonl", "unknown", 1, 0),
        group("harmless", "rs", "store", "scripted", 1, 0),
        group("helpful", "base", "store", "person", 2, 1),
        group("helpful", "online", "store", "scripted", 2, 1),
    ]


def test_an_empty_store_has_none(database: Database) -> None:
    assert found(database) == [] and counts(database) == []


def test_stopping_early_lets_the_store_go(filled: Database) -> None:
    iterator = preferences(filled, Filter())
    next(iterator)
    person(filled)  # a reader holds no writer up
    del iterator
    assert len(found(filled)) == 4


def test_a_filter_is_json() -> None:
    filter = Filter(objective=Objective.HELPFUL, models=("a", "b"))
    assert filter.to_json() == {
        "objective": "helpful",
        "tranche": None,
        "study": None,
        "models": ["a", "b"],
        "keep_weakest": False,
        "sources": None,
        "workers": "admitted",
        "worker_kind": None,
    }
