"""A click becomes a preference: sides, strength, direction, tranche."""

import pytest

from concordant.comparison import Objective, Tranche
from concordant.conversation import Conversation
from concordant.store.database import Database
from concordant.store.people import WorkerKind
from concordant.store.records import Record, collected_records, turns_from_json, turns_json
from stories import base_model, best_of, draw, person, play, policy_model


def records(database: Database) -> list[Record]:
    with database.read() as session:
        return list(collected_records(session))


def test_everything_about_a_choice_is_in_its_record(database: Database) -> None:
    worker, base, policy = person(database, kind=WorkerKind.SCRIPTED), base_model(database), policy_model(database)
    ids = play(database, worker, draw(base, policy, swap=True), [2, 6], study="board")
    first, second = records(database)
    assert [first.id, second.id] == ids
    assert first.worker_kind is WorkerKind.SCRIPTED
    preference = first.preference
    # Swapped: reply 0, by the base model, was shown as B.
    assert (preference.comparison.reply_a, preference.comparison.reply_b) == ("reply 1", "reply 0")
    assert preference.models == ("policy", "base")
    assert (preference.preferred, preference.chosen, preference.strength) == ("a", "reply 1", 3)
    assert preference.prompt == Conversation().human("question 1")
    assert (preference.objective, preference.source, preference.worker) == (Objective.HELPFUL, "store", worker.id)
    assert second.preference.prompt == Conversation().human("question 1").assistant("reply 1").human("question 2")
    assert (second.preference.preferred, second.preference.strength) == ("b", 2)
    kept = first.collected
    assert kept is not None
    assert (kept.study, kept.turn, kept.button, kept.swap, kept.choice_number) == ("board", 1, 2, True, 1)
    assert (kept.rating, kept.comment) == (4, "fine")
    replies = [reply for reply in kept.replies if reply is not None]
    assert [reply.snapshot_id for reply in replies] == [policy.id, base.id]
    assert [(reply.seed, reply.tokens, reply.attempts) for reply in replies] == [(1, 3, 1), (0, 3, 1)]
    assert kept.said <= kept.chosen


@pytest.mark.parametrize(
    ("objective", "button", "better"),
    [
        (Objective.HELPFUL, 1, "a"),
        (Objective.HELPFUL, 8, "b"),
        (Objective.HARMLESS, 1, "b"),  # A was clicked as the more harmful one
        (Objective.HARMLESS, 5, "a"),
    ],
)
def test_in_red_team_work_the_other_side_is_the_better(
    database: Database, objective: Objective, button: int, better: str
) -> None:
    play(database, person(database), draw(base_model(database)), [button], objective)
    (record,) = records(database)
    assert record.preference.preferred == better
    assert record.preference.comparison.reply_a == "reply 0"


def test_the_tranche_is_that_of_the_most_trained_writer(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    sampled, of_policy = best_of(database, "bo16", base), best_of(database, "policy-bo16", policy)
    worker = person(database)
    pairs = [(base, base), (base, sampled), (sampled, base), (sampled, policy), (policy, base), (of_policy, base)]
    for first, second in pairs:
        play(database, worker, draw(first, second), [1])
    expected = [Tranche.BASE, Tranche.RS, Tranche.RS, Tranche.ONLINE, Tranche.ONLINE, Tranche.ONLINE]
    assert [record.preference.tranche for record in records(database)] == expected


def test_many_talks_come_in_the_order_in_which_they_began(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.records._TALKS_AT_ONCE", 2)
    worker, model = person(database), base_model(database)
    ids = [one for _ in range(5) for one in play(database, worker, draw(model), [1, 2])]
    assert [record.id for record in records(database)] == ids


def test_turns_survive_json() -> None:
    conversation = Conversation().human("a").human("b").assistant("ç\n\nHuman: x")
    assert turns_json(conversation) == [["human", "a"], ["human", "b"], ["assistant", "ç\n\nHuman: x"]]
    assert turns_from_json(turns_json(conversation)) == conversation
