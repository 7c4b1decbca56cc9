"""Counts of what was taken and left out."""

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.conversation import Conversation
from concordant.store.people import WorkerKind
from concordant.store.tally import Tally


def test_counts_by_group_and_reason() -> None:
    one = Preference(Comparison(Conversation(), "x", "y"), "a", Objective.HELPFUL, Tranche.RS, source="store")
    tally = Tally()
    for kind in (WorkerKind.PERSON, WorkerKind.SCRIPTED, WorkerKind.SCRIPTED, None):
        tally.take(one, kind)
    tally.drop("weakest strength")
    assert tally.taken == 4 and tally.by_kind() == {"person": 1, "scripted": 2, "unknown": 1}

    def group(kind: str, number: int) -> dict[str, object]:
        return {"objective": "helpful", "tranche": "rs", "source": "store", "worker_kind": kind, "n": number}

    assert tally.to_json() == {
        "taken": 4,
        "dropped": {"weakest strength": 1},
        "worker_kinds": {"person": 1, "scripted": 2, "unknown": 1},
        "groups": [group("person", 1), group("scripted", 2), group("unknown", 1)],
    }


def test_nothing_is_nothing() -> None:
    assert Tally().to_json() == {"taken": 0, "dropped": {}, "worker_kinds": {}, "groups": []}
