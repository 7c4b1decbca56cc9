"""What pages read of the store."""

import pytest

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.overview import ShownReply, TurnRecord, ended_talks, recent_talks, talk_record, watched_pairs
from concordant.store.people import WorkerKind
from concordant.store.reply_queue import claim, write_texts
from concordant.store.talk_views import ReplyStatus, view
from concordant.store.talks import Ending, end_talk
from stories import ask, base_model, draw, person, play, policy_model, write_replies


def test_watched_pairs_are_what_the_talks_page_shows(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    talk, comparison = ask(database, person(database), draw(base, policy, swap=True))
    for step in (lambda: None, lambda: claim(database, "w", 1, 60.0), lambda: write_replies(database)):
        step()
        found = watched_pairs(database, [comparison, "none"])
        assert list(found) == [comparison]
        assert found[comparison].pair == view(database, talk).pending
    assert found[comparison].pair.a.text == "reply 1"  # place 1 is shown as A


def test_ahead_counts_comparisons_and_not_replies(database: Database) -> None:
    base = base_model(database)
    comparisons = [ask(database, person(database, f"worker {n}"), draw(base))[1] for n in range(3)]

    def ahead() -> list[int]:
        found = watched_pairs(database, comparisons)
        return [found[comparison].ahead for comparison in comparisons]

    assert ahead() == [0, 1, 2]
    (job,) = claim(database, "w", 1, 60.0)  # half of the first comparison
    assert ahead() == [0, 1, 2]
    claim(database, "w", 1, 60.0)
    write_texts(database, "w", {job.reply_id: "so far"})
    assert ahead() == [0, 0, 1]


def test_a_talk_as_a_researcher_reads_it(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    worker = person(database, "a script", WorkerKind.SCRIPTED)
    play(database, worker, draw(base, policy, swap=True), [2, 5], Objective.HARMLESS, "board:one")
    (summary,) = recent_talks(database, 10)
    talk, turns = talk_record(database, summary.id)
    assert talk == summary
    assert (talk.worker, talk.kind, talk.objective) == ("a script", WorkerKind.SCRIPTED, Objective.HARMLESS)
    assert (talk.study, talk.turns, talk.choices, talk.opening) == ("board:one", 2, 2, "question 1")
    assert (talk.rating, talk.comment) == (4, "fine") and talk.ended is not None
    shown_a, shown_b = (
        ShownReply("policy", ReplyStatus.DONE, "reply 1"),
        ShownReply("base", ReplyStatus.DONE, "reply 0"),
    )
    assert turns == [
        TurnRecord("question 1", shown_a, shown_b, "a", 3, None, 1),
        TurnRecord("question 2", shown_a, shown_b, "b", 1, None, 1),
    ]


def test_an_unfinished_talk_has_a_turn_without_a_choice(database: Database) -> None:
    talk, _ = ask(database, person(database), draw(base_model(database)))
    summary, (turn,) = talk_record(database, talk)
    assert (summary.choices, summary.ended, turn.clicked, turn.strength) == (0, None, None, None)


def test_the_newest_talks_come_first_and_ended_ones_are_counted(database: Database) -> None:
    base = base_model(database)
    first, second = person(database, "first"), person(database, "second")
    talks = [ask(database, worker, draw(base))[0] for worker in (first, second)]
    assert [summary.id for summary in recent_talks(database, 10)] == talks[::-1]
    assert len(recent_talks(database, 1)) == 1
    assert ended_talks(database, first.id) == 0
    end_talk(database, talks[0], Ending())
    assert (ended_talks(database, first.id), ended_talks(database, second.id)) == (1, 0)
    with pytest.raises(UserError, match="there is no conversation 'none'"):
        talk_record(database, "none")
