"""The queue of replies: claimed once, fenced by leases, never shrinking before a reader's eyes."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.reply_queue import (
    MOST_ATTEMPTS,
    ReplyJob,
    claim,
    fail,
    finish,
    queue_length,
    write_text,
    write_texts,
)
from concordant.store.talk_views import ReplyView, view
from concordant.store.talks import choose, open_talk, retry, say
from stories import ask, base_model, draw, person

EXPIRED = -1.0
"""A lease that has run out already."""


def asked(database: Database, talks: int = 1) -> list[str]:
    """Ids of talks that wait for two replies each."""
    model = base_model(database)
    return [ask(database, person(database), draw(model))[0] for _ in range(talks)]


def replies(database: Database, talk: str) -> tuple[ReplyView, ReplyView]:
    pending = view(database, talk).pending
    assert pending is not None
    return pending.a, pending.b


def take(database: Database, owner: str = "w", limit: int = 1, lease: float = 60.0) -> list[ReplyJob]:
    return claim(database, owner, limit, lease)


def test_jobs_come_in_the_order_of_asking(database: Database) -> None:
    talks = asked(database, talks=2)
    a, b = replies(database, talks[0])
    assert queue_length(database) == 4
    (job,) = take(database)
    assert job.reply_id == a.id and job.attempt == 1 and job.seed == 0
    assert job.prompt == Conversation().human("hello")
    later = replies(database, talks[1])
    assert [job.reply_id for job in take(database, limit=2)] == [b.id, later[0].id]
    assert queue_length(database) == 1


def test_the_prompt_is_the_talk_so_far(database: Database) -> None:
    model = base_model(database)
    worker = person(database)
    talk = open_talk(database, worker.id, Objective.HELPFUL, 2, "")
    first = say(database, talk, "one", "k1", draw(model, swap=True))
    finish(database, "w", {job.reply_id: Reply(f"r{job.seed}", True, 1) for job in take(database, limit=2)})
    choose(database, first, 1, "c")
    say(database, talk, "two", "k2", draw(model))
    (job,) = take(database)
    assert job.prompt == Conversation().human("one").assistant("r1").human("two")


def test_a_reply_grows_and_is_done(database: Database) -> None:
    (talk,) = asked(database)
    (job,) = take(database)
    for text in ("Yes", "Yes, I", "Yes, I can"):
        write_text(database, job.reply_id, "w", text)
        a, _ = replies(database, talk)
        assert (a.status, a.text) == ("writing", text)
    finish(database, "w", {job.reply_id: Reply("Yes, I can.", finished=True, tokens=5)})
    a, b = replies(database, talk)
    assert (a.status, a.text, b.status) == ("done", "Yes, I can.", "queued")


def test_only_the_holder_writes(database: Database) -> None:
    (talk,) = asked(database)
    (job,) = take(database, "first", lease=EXPIRED)
    write_text(database, job.reply_id, "second", "not mine")
    assert replies(database, talk)[0].text == ""
    (again,) = take(database, "second")
    assert (again.reply_id, again.attempt) == (job.reply_id, 2)
    write_text(database, job.reply_id, "first", "too late")
    finish(database, "first", {job.reply_id: Reply("too late", True, 2)})
    fail(database, "first", job.reply_id, "too late")
    a, _ = replies(database, talk)
    assert (a.status, a.text, a.error) == ("writing", "", None)
    finish(database, "second", {job.reply_id: Reply("in time", True, 2)})
    finish(database, "second", {job.reply_id: Reply("twice", True, 2)})
    assert replies(database, talk)[0].text == "in time"


def test_writing_renews_the_lease(database: Database) -> None:
    asked(database)
    slow, _ = take(database, "first", limit=2, lease=EXPIRED)
    write_text(database, slow.reply_id, "first", "still here")
    assert queue_length(database) == 2, "a lease of less than nothing has run out again"
    jobs = take(database, "second", limit=2, lease=60.0)
    assert len(jobs) == 2 and queue_length(database) == 0
    write_texts(database, "second", {job.reply_id: "mine now" for job in jobs})
    assert take(database, "third", limit=2) == []


def test_a_second_writers_shorter_text_does_not_replace_the_longer(database: Database) -> None:
    (talk,) = asked(database)
    (job,) = take(database, "first", lease=EXPIRED)
    write_text(database, job.reply_id, "first", "a long beginning")
    take(database, "second", lease=60.0)
    write_text(database, job.reply_id, "second", "a")
    assert replies(database, talk)[0].text == "a long beginning"
    write_text(database, job.reply_id, "second", "a long beginning, and more")
    assert replies(database, talk)[0].text == "a long beginning, and more"
    finish(database, "second", {job.reply_id: Reply("short", True, 1)})
    assert replies(database, talk)[0].text == "short"


def test_a_failure_is_told_and_can_be_tried_again(database: Database) -> None:
    model = base_model(database)
    talk, comparison = ask(database, person(database), draw(model))
    (job,) = take(database)
    write_text(database, job.reply_id, "w", "half of")
    fail(database, "w", job.reply_id, "out of memory")
    assert replies(database, talk)[0].error == "out of memory"
    assert queue_length(database) == 1
    retry(database, comparison)
    (again,) = take(database)
    assert (again.reply_id, again.attempt) == (job.reply_id, 1), "at its old place, and as if new"
    assert replies(database, talk)[0].text == ""


def test_a_reply_that_kills_its_writers_is_given_up(database: Database) -> None:
    (talk,) = asked(database)
    for attempt in range(1, MOST_ATTEMPTS + 1):
        (job,) = take(database, f"writer {attempt}", lease=EXPIRED)
        assert job.attempt == attempt
    (other,) = take(database, "survivor", limit=2)
    assert other.reply_id != job.reply_id
    a, _ = replies(database, talk)
    assert (a.status, a.error) == ("failed", f"its writer stopped {MOST_ATTEMPTS} times")


def test_nothing_waits_and_nothing_is_claimed(database: Database) -> None:
    assert take(database, limit=5) == []
    assert queue_length(database) == 0
    write_texts(database, "w", {})
    finish(database, "w", {})


def test_eight_threads_claim_each_reply_once(database: Database) -> None:
    talks = asked(database, talks=24)
    barrier = Barrier(8)

    def work(number: int) -> list[str]:
        owner, taken = f"writer {number}", []
        barrier.wait()
        while jobs := claim(database, owner, 3, 60.0):
            taken += [job.reply_id for job in jobs]
            write_texts(database, owner, {job.reply_id: owner for job in jobs})
            finish(database, owner, {job.reply_id: Reply(owner, True, 1) for job in jobs})
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(work, range(8)))
    flat = [reply for part in taken for reply in part]
    assert len(flat) == len(set(flat)) == 48
    written = {reply.id: reply for talk in talks for reply in replies(database, talk)}
    assert {reply.status for reply in written.values()} == {"done"}
    for number, part in enumerate(taken):
        assert all(written[reply].text == f"writer {number}" for reply in part)
