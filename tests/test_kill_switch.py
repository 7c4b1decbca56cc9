"""Stopping a deployment with talks under way: nothing of it is shown any more, and nobody loses text."""

import random
from collections.abc import Sequence

import pytest

from concordant.collect.assignment import redraw
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.sampler import Reply
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.deployment_counts import counts_of
from concordant.store.kill_switch import FAILED, STOPPED, Orphan, Rescued, rescue, stop
from concordant.store.registry import (
    Deployment,
    Snapshot,
    State,
    active_deployments,
    deploy,
    drain,
    retire,
    standing_deployments,
)
from concordant.store.reply_queue import ReplyJob, claim, fail, finish, write_texts
from concordant.store.talk_views import ReplyStatus, TalkView, view
from concordant.store.talks import choose, retry, say
from stories import ask, base_model, best_of, draw, person, policy_model, write_replies

REDRAW = redraw(random.Random(0))


def state_of(db: Database, talk: str) -> tuple[set[ReplyStatus], set[str]]:
    """(statuses, texts) of the pair that waits."""
    pending = view(db, talk).pending
    assert pending is not None
    return {pending.a.status, pending.b.status}, {pending.a.text, pending.b.text}


def waiting(db: Database) -> list[str]:
    """Snapshots of what a writer may take, which it takes."""
    return sorted(job.snapshot_id for job in claim(db, "looker", 100, 60.0))


def test_replies_not_yet_written_go_to_another_deployment(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    deploy(database, base.id, 1.0)
    bad = deploy(database, policy.id, 1.0)
    queued, _ = ask(database, person(database, "one"), draw(policy))
    begun, _ = ask(database, person(database, "two"), draw(base, policy))
    jobs = {job.reply_id: job for job in claim(database, "writer", 100, 60.0)}
    write_texts(database, "writer", {id: f"so far {job.snapshot_id}" for id, job in jobs.items()})
    assert stop(database, bad.id, REDRAW, "researcher-1") == Rescued(redrawn=3, failed=0)
    assert [one.snapshot.id for one in active_deployments(database)] == [base.id]
    # The writer goes on as if nothing had happened; what it brings for the stopped one is ignored.
    finish(database, "writer", {id: Reply(f"by {job.snapshot_id}", True, 3) for id, job in jobs.items()})
    for talk in (queued, begun):
        assert view(database, talk).conversation.first_human_turn == "hello"
        assert not any(policy.id in text for text in state_of(database, talk)[1])
    assert waiting(database) == [base.id] * 3
    (act, *_) = acts(database, 5, bad.id)
    assert (act.staff_id, act.act) == ("researcher-1", "deployment stopped")
    assert act.detail == {"snapshot": "policy", "redrawn": 3, "failed": 0}


def test_with_nothing_else_replies_fail_kindly_and_can_be_asked_for_later(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    only = deploy(database, base.id, 1.0)
    talk, comparison = ask(database, person(database), draw(base))
    assert stop(database, only.id, REDRAW) == Rescued(redrawn=0, failed=2)
    assert stop(database, only.id, REDRAW) == Rescued(redrawn=0, failed=0)
    pending = view(database, talk).pending
    assert pending is not None and pending.a.status is ReplyStatus.FAILED and pending.a.error == FAILED
    assert "base" not in FAILED and "stop" not in FAILED
    retry(database, comparison)  # in vain: they wait, nobody may write them, and they fail again
    assert waiting(database) == []
    assert rescue(database, REDRAW) == Rescued(redrawn=0, failed=2)
    assert rescue(database, REDRAW) == Rescued(redrawn=0, failed=0)
    deploy(database, policy.id, 1.0)  # now there is somebody
    assert rescue(database, REDRAW) == Rescued(redrawn=2, failed=0)
    assert state_of(database, talk)[0] == {ReplyStatus.FAILED}, "it is the worker who asks again"
    retry(database, comparison)
    assert waiting(database) == [policy.id] * 2
    assert counts_of(database, standing_deployments(database))[only.id].reason == STOPPED


def test_what_was_complete_stays_and_the_talk_goes_on(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    deploy(database, base.id, 1.0)
    bad = deploy(database, policy.id, 1.0)
    talk, comparison = ask(database, person(database), draw(policy))
    write_replies(database)
    assert stop(database, bad.id, REDRAW) == Rescued(0, 0)
    choose(database, comparison, 2, "c")
    say(database, talk, "go on", "say-2", draw(policy))  # drawn a moment before the switch was pressed
    assert waiting(database) == []
    assert rescue(database, REDRAW) == Rescued(redrawn=2, failed=0)
    write_replies(database)
    assert state_of(database, talk)[0] == {ReplyStatus.DONE}


def test_an_ended_talk_is_left_alone(database: Database) -> None:
    from concordant.store.talks import Ending, end_talk

    base = base_model(database)
    only = deploy(database, base.id, 1.0)
    talk, _ = ask(database, person(database), draw(base))
    end_talk(database, talk, Ending())
    assert stop(database, only.id, REDRAW) == Rescued(0, 0)


def test_a_deployment_for_one_kind_of_work_stops_there_only(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    deploy(database, base.id, 1.0)
    red = deploy(database, policy.id, 1.0, Objective.HARMLESS)
    deploy(database, policy.id, 2.0, Objective.HELPFUL)
    ask(database, person(database, "a"), draw(policy), Objective.HARMLESS)
    ask(database, person(database, "b"), draw(policy), Objective.HELPFUL)
    assert stop(database, red.id, REDRAW) == Rescued(redrawn=2, failed=0)
    assert waiting(database) == sorted([base.id] * 2 + [policy.id] * 2)


def test_a_second_deployment_of_the_same_snapshot_covers_it(database: Database) -> None:
    base = base_model(database)
    deploy(database, base.id, 1.0)
    special = deploy(database, base.id, 1.0, Objective.HELPFUL)
    ask(database, person(database), draw(base))
    assert stop(database, special.id, REDRAW) == Rescued(0, 0)
    assert len(waiting(database)) == 2


def test_retired_after_a_stop_it_stays_stopped_until_it_is_deployed_again(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    bad = deploy(database, policy.id, 1.0)
    talk, comparison = ask(database, person(database), draw(policy))
    stop(database, bad.id, REDRAW)
    retire(database, bad.id)
    retry(database, comparison)
    assert waiting(database) == []
    assert deploy(database, policy.id, 1.0).state is State.LIVE
    assert waiting(database) == [policy.id] * 2
    assert state_of(database, talk)[0] == {ReplyStatus.WRITING}
    with pytest.raises(UserError, match="changed or retired meanwhile"):
        stop(database, bad.id, REDRAW)
    assert base.label == "base"


def test_draining_writes_to_the_end_and_asks_nothing_new(database: Database) -> None:
    base, policy = base_model(database), policy_model(database)
    deploy(database, base.id, 1.0)
    old = deploy(database, policy.id, 3.0)
    talk, comparison = ask(database, person(database), draw(policy))
    for _ in range(2):
        drain(database, old.id, "researcher-1")
    assert [one.snapshot.id for one in active_deployments(database)] == [base.id]
    (standing,) = [one for one in standing_deployments(database) if one.snapshot.id == policy.id]
    assert standing.state is State.DRAINING
    assert counts_of(database, [standing])[old.id].waiting == 2
    (job, other) = claim(database, "writer", 10, 60.0)
    fail(database, "writer", job.reply_id, "kind words", "EndpointFailed: status 500")
    finish(database, "writer", {other.reply_id: Reply("whole", True, 3)})
    retry(database, comparison)  # a turn that began goes on to its end
    write_replies(database)
    assert state_of(database, talk)[0] == {ReplyStatus.DONE}
    counts = counts_of(database, [standing])[old.id]
    assert (counts.replies, counts.failures, counts.waiting) == (2, 1, 0)
    assert counts.reason == "EndpointFailed: status 500"
    assert [act.act for act in acts(database, 9, old.id)] == ["deployment drained", "snapshot deployed"]
    again = deploy(database, policy.id, 3.0)
    assert again.state is State.LIVE and again.id != old.id
    stop(database, again.id, REDRAW)
    with pytest.raises(UserError, match="nothing to drain"):
        drain(database, again.id)


def test_pairs_keep_their_kind_when_they_are_drawn_anew(database: Database) -> None:
    """A pair by one snapshot stays one, a pair of two stays two where there are two."""
    base, policy = base_model(database), policy_model(database)
    third = best_of(database, "bo16", base)
    bad = deploy(database, policy.id, 1.0)
    for snapshot in (base, third):
        deploy(database, snapshot.id, 1.0)
    comparisons = {}
    for number, pair in enumerate((draw(policy), draw(policy), draw(policy, base), draw(third, policy))):
        comparisons[ask(database, person(database, f"w{number}"), pair)[1]] = pair.snapshots
    stop(database, bad.id, REDRAW)
    jobs: Sequence[ReplyJob] = claim(database, "writer", 100, 60.0)
    assert policy.id not in {job.snapshot_id for job in jobs}
    by_comparison = written_by(database, list(comparisons))
    kinds = [len(set(by_comparison[comparison])) for comparison in comparisons]
    assert kinds == [1, 1, 2, 2]


def written_by(db: Database, comparisons: Sequence[str]) -> dict[str, list[str]]:
    from sqlalchemy import select

    from concordant.store.tables import ReplyRow

    with db.read() as session:
        rows = session.scalars(select(ReplyRow).where(ReplyRow.comparison_id.in_(comparisons))).all()
    return {name: [row.snapshot_id for row in rows if row.comparison_id == name] for name in comparisons}


def test_the_redraw_itself() -> None:
    from test_assignment import deployed

    live: list[Deployment] = [deployed("a", 1.0), deployed("b", 1.0), deployed("c", 5.0, Objective.HARMLESS)]
    draws = {
        (other, same): {redraw(random.Random(n))(live, Orphan(Objective.HELPFUL, other, same)) for n in range(40)}
        for other, same in (("a", False), ("b", True), ("gone", True), ("gone", False))
    }
    assert draws == {("a", False): {"b"}, ("b", True): {"b"}, ("gone", True): {"a", "b"}, ("gone", False): {"a", "b"}}
    assert REDRAW(live[:1], Orphan(Objective.HELPFUL, "a", same=False)) == "a", "better the same twice than none"
    assert REDRAW([], Orphan(Objective.HELPFUL, "a", same=False)) is None


def test_a_view_never_names_a_snapshot(database: Database) -> None:
    base = base_model(database)
    talk, _ = ask(database, person(database), draw(base))
    shown: TalkView = view(database, talk)
    assert base.id not in repr(shown) and "base" not in repr(shown)


def test_two_snapshots_are_no_more_than_they_say(database: Database) -> None:
    one: Snapshot = base_model(database)
    with pytest.raises(UserError, match="no deployment"):
        stop(database, one.id, REDRAW)
