"""Talks: each submit counts once, sides are as shown, and eight tabs at once make no mess."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest
from sqlalchemy import func, select

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.datasets import freeze, load_dataset
from concordant.store.preferences import Filter
from concordant.store.reply_queue import claim, fail, queue_length
from concordant.store.tables import Base, ChoiceRow, MessageRow, ReplyRow, TalkRow
from concordant.store.talk_views import current_talk, view, view_of
from concordant.store.talks import Ending, choose, end_talk, open_talk, retry, say
from stories import ask, base_model, draw, person, policy_model, write_replies

THREADS = 8


def count(database: Database, table: type[Base]) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(table)).scalar_one()


def at_once(work: Callable[[int], str | None]) -> list[str]:
    """Run ``work(0)`` … ``work(7)`` in threads that begin together; each result, or "refused" for a UserError."""
    barrier = Barrier(THREADS)

    def run(number: int) -> str:
        barrier.wait()
        try:
            return work(number) or "done"
        except UserError:
            return "refused"

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(run, range(THREADS)))


def test_a_talk_from_its_first_word_to_its_end(database: Database) -> None:
    worker, model = person(database), base_model(database)
    assert current_talk(database, worker.id) is None
    talk = open_talk(database, worker.id, Objective.HELPFUL, turns=2, study="s")
    first = say(database, talk, "one", "k1", draw(model))
    seen = view(database, talk)
    assert seen.conversation == Conversation().human("one")
    assert seen.pending is not None and seen.pending.turn == 1 and not seen.pending.ready
    assert (seen.pending.a.status, seen.pending.b.status) == ("queued", "queued")
    write_replies(database)
    seen = view(database, talk)
    assert seen.pending is not None and seen.pending.ready
    choose(database, first, 6, "c1")
    seen = view(database, talk)
    assert seen.pending is None and seen.conversation == Conversation().human("one").assistant("reply 1")
    second = say(database, talk, "two", "k2", draw(model, swap=True))
    write_replies(database)
    choose(database, second, 5, "c2")
    end_talk(database, talk, Ending(5, "good"))
    seen = view(database, talk)
    assert seen.finished and seen.turns == 2 and seen.study == "s" and seen.worker_id == worker.id
    # Swapped: reply 0 was shown as B, and B was clicked.
    assert [turn.text for turn in seen.conversation.turns] == ["one", "reply 1", "two", "reply 0"]
    assert current_talk(database, worker.id) is None


@pytest.mark.parametrize(("swap", "texts"), [(False, ("reply 0", "reply 1")), (True, ("reply 1", "reply 0"))])
def test_swap_says_which_reply_is_shown_as_a(database: Database, swap: bool, texts: tuple[str, str]) -> None:
    talk, _ = ask(database, person(database), draw(base_model(database), policy_model(database), swap))
    write_replies(database)
    pending = view(database, talk).pending
    assert pending is not None and (pending.a.text, pending.b.text) == texts


def test_in_a_red_team_talk_the_clicked_reply_goes_on_too(database: Database) -> None:
    talk, comparison = ask(database, person(database), draw(base_model(database)), Objective.HARMLESS)
    write_replies(database)
    choose(database, comparison, 1, "c")
    assert view(database, talk).conversation.turns[-1].text == "reply 0"


def test_the_same_submit_twice_is_one(database: Database) -> None:
    worker, model = person(database), base_model(database)
    talk, comparison = ask(database, worker, draw(model))
    assert say(database, talk, "hello", "say-1", draw(model, swap=True)) == comparison
    assert count(database, MessageRow) == 1 and count(database, ReplyRow) == 2
    write_replies(database)
    for _ in range(2):
        choose(database, comparison, 3, "c")
    choose(database, comparison, 3, "another tab, the same button")
    assert count(database, ChoiceRow) == 1
    # A late repeat of the first message is answered alike after the choice, too.
    assert say(database, talk, "hello", "say-1", draw(model)) == comparison
    assert current_talk(database, worker.id) == view(database, view_of(database, comparison).id)


def test_the_key_of_one_talk_means_nothing_in_another(database: Database) -> None:
    model = base_model(database)
    _, first = ask(database, person(database), draw(model))
    _, second = ask(database, person(database), draw(model))
    assert first != second


def test_a_second_different_choice_is_refused_and_the_first_kept(database: Database) -> None:
    talk, comparison = ask(database, person(database), draw(base_model(database)))
    write_replies(database)
    choose(database, comparison, 1, "c")
    for key in ("c", "d"):
        with pytest.raises(UserError, match="first choice is kept"):
            choose(database, comparison, 8, key)
    assert view(database, talk).conversation.turns[-1].text == "reply 0"


def test_nothing_is_chosen_before_both_replies_are_complete(database: Database) -> None:
    _, comparison = ask(database, person(database), draw(base_model(database)))
    with pytest.raises(UserError, match="not complete yet"):
        choose(database, comparison, 1, "c")
    job, other = claim(database, "w", 2, 60.0)
    fail(database, "w", job.reply_id, "out of memory")
    with pytest.raises(UserError, match="not complete yet"):
        choose(database, comparison, 1, "c")
    assert other.reply_id != job.reply_id and count(database, ChoiceRow) == 0


def test_a_change_of_mind_supersedes_the_choice_and_both_stay_on_record(database: Database, tmp_path: Path) -> None:
    pair = draw(base_model(database))
    talk, comparison = ask(database, person(database), pair)
    write_replies(database)
    choose(database, comparison, 7, "c")
    made = view(database, talk).undoable
    assert made is not None and (made.button, made.number, made.pair.id) == (7, 1, comparison)
    for _ in range(2):
        choose(database, comparison, 2, "d", instead_of=1)
    choose(database, comparison, 7, "c")  # a late repeat of the first submit undoes nothing
    with pytest.raises(UserError, match="last choice is kept"):
        choose(database, comparison, 8, "e", instead_of=1)
    assert view(database, talk).conversation.turns[-1].text == "reply 0"
    assert count(database, ChoiceRow) == 2
    frozen = freeze(database, "d", Filter(), tmp_path)
    (preference,) = load_dataset(frozen.path)
    assert (preference.preferred, preference.strength, frozen.counts["taken"]) == ("a", 3, 1)
    say(database, talk, "more", "k2", pair)
    with pytest.raises(UserError, match="has gone on"):
        choose(database, comparison, 8, "f", instead_of=2)
    assert view(database, talk).undoable is None


def test_eight_tabs_change_their_mind_and_one_change_counts(database: Database) -> None:
    talk, comparison = ask(database, person(database), draw(base_model(database)))
    write_replies(database)
    choose(database, comparison, 1, "first")
    results = at_once(lambda n: choose(database, comparison, 8 - n % 4, f"key-{n}", instead_of=1))
    made = view(database, talk).undoable
    assert made is not None and made.number == 2 and count(database, ChoiceRow) == 2
    assert results.count("done") == 2, "the one that counts, and the other tab with the same button"


def test_messages_out_of_turn_are_refused(database: Database) -> None:
    worker, model = person(database), base_model(database)
    talk, comparison = ask(database, worker, draw(model))
    with pytest.raises(UserError, match="choose one before you write again"):
        say(database, talk, "more", "k2", draw(model))
    with pytest.raises(UserError, match="have a conversation open already"):
        open_talk(database, worker.id, Objective.HELPFUL, 1, "")
    with pytest.raises(UserError, match="message is empty"):
        say(database, talk, " \n", "k2", draw(model))
    write_replies(database)
    choose(database, comparison, 1, "c")
    comparison = say(database, talk, "two", "k2", draw(model))
    write_replies(database)
    choose(database, comparison, 1, "c")
    with pytest.raises(UserError, match="has its 2 choices"):
        say(database, talk, "three", "k3", draw(model))
    end_talk(database, talk, Ending())
    with pytest.raises(UserError, match="has ended"):
        say(database, talk, "three", "k3", draw(model))
    assert count(database, MessageRow) == 2


def test_a_refused_message_leaves_nothing_behind(database: Database) -> None:
    worker = person(database)
    talk = open_talk(database, worker.id, Objective.HELPFUL, 1, "")
    pair = draw(base_model(database))
    with pytest.raises(UserError, match="no snapshot 'gone'"):
        say(database, talk, "hi", "k", type(pair)(("gone", pair.snapshots[1]), (0, 1), False))
    assert count(database, MessageRow) == 0 and view(database, talk).pending is None


@pytest.mark.parametrize("button", [0, 9, -1])
def test_there_are_eight_buttons(database: Database, button: int) -> None:
    _, comparison = ask(database, person(database), draw(base_model(database)))
    write_replies(database)
    with pytest.raises(UserError, match="does not exist"):
        choose(database, comparison, button, "c")


def test_what_there_is_not(database: Database) -> None:
    with pytest.raises(UserError, match="no worker 'x'"):
        open_talk(database, "x", Objective.HELPFUL, 1, "")
    with pytest.raises(UserError, match="no conversation 'x'"):
        view(database, "x")
    with pytest.raises(UserError, match="no comparison 'x'"):
        choose(database, "x", 1, "c")
    with pytest.raises(UserError, match="0 turns"):
        open_talk(database, person(database).id, Objective.HELPFUL, 0, "")


def test_failed_replies_are_queued_again_and_the_others_stay(database: Database) -> None:
    talk, comparison = ask(database, person(database), draw(base_model(database)))
    job, _ = claim(database, "w", 2, 60.0)
    fail(database, "w", job.reply_id, "out of memory")
    pending = view(database, talk).pending
    assert pending is not None and (pending.a.status, pending.a.error) == ("failed", "out of memory")
    retry(database, comparison)
    pending = view(database, talk).pending
    assert pending is not None and pending.a.error is None
    assert (pending.a.status, pending.b.status) == ("queued", "writing")
    assert queue_length(database) == 1


def test_a_worker_may_leave_at_any_time(database: Database) -> None:
    worker, model = person(database), base_model(database)
    talk, comparison = ask(database, worker, draw(model))
    end_talk(database, talk, Ending())
    seen = view(database, talk)
    assert seen.finished and seen.pending is None
    assert queue_length(database) == 0, "nothing is written for a talk that has ended"
    with pytest.raises(UserError, match="has ended"):
        retry(database, comparison)
    end_talk(database, talk, Ending())
    with pytest.raises(UserError, match="ended already"):
        end_talk(database, talk, Ending(1, "changed my mind"))
    ask(database, worker, draw(model))


def test_a_choice_after_the_end_is_refused(database: Database) -> None:
    talk, comparison = ask(database, person(database), draw(base_model(database)))
    write_replies(database)
    end_talk(database, talk, Ending())
    with pytest.raises(UserError, match="has ended"):
        choose(database, comparison, 1, "c")


def test_eight_threads_choose_and_one_choice_counts(database: Database) -> None:
    model = base_model(database)
    for _ in range(5):
        talk, comparison = ask(database, person(database), draw(model))
        write_replies(database)
        results = at_once(lambda n, c=comparison: choose(database, c, n + 1, f"key-{n}"))  # type: ignore[misc]
        assert sorted(results) == ["done"] + ["refused"] * (THREADS - 1)
        winner = results.index("done") + 1
        text = "reply 0" if winner <= 4 else "reply 1"
        assert view(database, talk).conversation.turns[-1].text == text
    assert count(database, ChoiceRow) == 5


def test_eight_threads_submit_the_same_and_it_is_one(database: Database) -> None:
    worker, model = person(database), base_model(database)
    talk = open_talk(database, worker.id, Objective.HELPFUL, 1, "")
    results = at_once(lambda _: say(database, talk, "hello", "key", draw(model)))
    assert len(set(results)) == 1 and "refused" not in results
    assert count(database, MessageRow) == 1 and count(database, ReplyRow) == 2
    write_replies(database)
    assert at_once(lambda _: choose(database, results[0], 7, "key")) == ["done"] * THREADS
    assert count(database, ChoiceRow) == 1


def test_eight_threads_write_different_messages_and_one_is_taken(database: Database) -> None:
    worker, model = person(database), base_model(database)
    talk = open_talk(database, worker.id, Objective.HELPFUL, 1, "")
    results = at_once(lambda n: say(database, talk, f"message {n}", f"key-{n}", draw(model)))
    assert results.count("refused") == THREADS - 1
    assert count(database, MessageRow) == 1


def test_eight_threads_open_a_talk_and_there_is_one(database: Database) -> None:
    worker = person(database)
    results = at_once(lambda _: open_talk(database, worker.id, Objective.HELPFUL, 1, ""))
    assert results.count("refused") == THREADS - 1
    assert count(database, TalkRow) == 1
