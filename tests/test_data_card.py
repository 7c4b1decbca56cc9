"""The data card says plainly what share no person chose."""

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.conversation import Conversation
from concordant.store.data_card import data_card
from concordant.store.people import WorkerKind
from concordant.store.tally import Tally


def tally(**kinds: int) -> Tally:
    one = Preference(Comparison(Conversation(), "x", "y"), "a", Objective.HELPFUL, Tranche.BASE, source="a|b")
    result = Tally()
    for kind, number in kinds.items():
        for _ in range(number):
            result.take(one, None if kind == "unknown" else WorkerKind(kind))
    return result


def test_shares_are_stated() -> None:
    card = data_card("x", tally(person=1, scripted=6, simulated=1), "About.", {"id": "of the row"})
    assert "- 1 of 8 (12.5 %) by people\n" in card
    assert "- 6 of 8 (75.0 %) by scripted workers, programs with a fixed taste: **this is not human judgement**" in card
    assert "- 1 of 8 (12.5 %) by simulated workers" in card
    assert "do not say who chose" not in card
    assert "| id | of the row |" in card and "8 comparisons" in card


def test_no_scripted_share_is_stated_too() -> None:
    card = data_card("x", tally(person=2, unknown=2), "", {})
    assert "- 0 of 4 (0.0 %) by scripted workers" in card
    assert "- 2 of 4 (50.0 %) imported from files that do not say who chose" in card
    assert "simulated" not in card


def test_what_was_left_out_is_counted() -> None:
    counted = tally(person=1)
    assert "Nothing: every comparison that matches is here" in data_card("x", counted, "", {})
    counted.dropped["weakest strength"] = 1234
    assert "| weakest strength | 1,234 |" in data_card("x", counted, "", {})


def test_a_bar_in_a_name_does_not_break_the_table() -> None:
    assert "| helpful | base | a\\|b | person | 1 |" in data_card("x", tally(person=1), "", {})
