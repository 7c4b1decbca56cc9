"""A worker's day over HTTP: consent first, tasks by policy and limits, a change of mind, stopping, how it felt."""

import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from concordant.collect.heartbeat import GeneratorState
from concordant.comparison import Objective
from concordant.store.consents import ConsentText, has_agreed
from concordant.store.database import Database
from concordant.store.day_tables import WellbeingRow
from concordant.store.people import permit_edits
from concordant.store.reply_queue import claim, fail
from concordant.store.sittings import Outcome, Sitting, last_sitting, sittings
from concordant.store.sittings import sitting_of as sitting_of_id
from concordant.store.tables import ChoiceRow, TalkRow
from concordant.store.talk_views import current_talk
from concordant.store.talks import open_talk
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def sitting_of(visitor: Visitor) -> Sitting:
    found = last_sitting(visitor.db, visitor.worker.id)
    assert found is not None
    return found


def task(visitor: Visitor, turns: int, **ratings: str) -> Any:
    """A whole task, from Start to the rating."""
    visitor.send("/work/start")
    for turn in range(turns):
        visitor.say(f"question {turn}")
        write_all(visitor.db, "one", "two")
        visitor.choose(2)
    return visitor.send("/work/end", "rating", **{"rating": "4", **ratings})


def test_nothing_is_done_before_somebody_agreed(store: Database) -> None:
    visitor = Visitor(store, room_with(store))
    with visitor.client:
        assert visitor.open_link().form("/work/agree", "agreed") is not None
        for action in ("/work/start", "/work/say", "/work/choose", "/work/end", "/work/everyday", "/work/stop"):
            assert "Before you begin" in visitor.post(action, {"text": "hello"}).text
        assert visitor.client.get("/work/stream/x", follow_redirects=False).status_code == 303
        open_talk(store, visitor.worker.id, Objective.HARMLESS, 1, "")
        assert visitor.page.form("/work/say") is None, "not even where staff have opened a conversation"
        form = visitor.page.form("/work/agree", "agreed")
        assert form is not None
        assert visitor.post("/work/agree", form.hidden).status_code == 422, "the box was not ticked"
        assert not has_agreed(store, visitor.worker.id, visitor.room.consent)
        visitor.post("/work/agree", {**form.hidden, "agreed": "1"})
        assert visitor.page.form("/work/say") is not None


def test_a_changed_text_asks_again_in_the_middle_of_a_conversation(store: Database) -> None:
    first = Visitor(store, room_with(store))
    with first.client:
        first.start()
        old = first.room.consent.digest
    later = Visitor(store, replace(room_with(store), consent=ConsentText("Now we also **publish** it.")))
    later.worker, later.token = first.worker, first.token
    with later.client:
        page = later.open_link()
        assert "<strong>publish</strong>" in later.client.get("/work").text
        form = page.form("/work/agree", "agreed")
        assert form is not None
        stale = later.post("/work/agree", {"digest": old, "agreed": "1"})
        assert stale.status_code == 409 and "has changed" in stale.text
        later.post("/work/agree", {**form.hidden, "agreed": "1"})
        assert later.page.form("/work/say") is not None, "the conversation was kept"


def test_who_declines_may_think_again(store: Database) -> None:
    visitor = Visitor(store, room_with(store))
    with visitor.client:
        visitor.open_link()
        assert "That is fine" in visitor.send("/work/decline").text
        assert sitting_of(visitor).outcome is Outcome.DECLINED
        assert "Before you begin" in visitor.client.get("/work?again=1").text
        visitor.post("/work/agree", {"digest": visitor.room.consent.digest, "agreed": "1"})
        assert "Task 1 of 5" in visitor.client.get("/work").text


def test_a_changed_text_keeps_nobody_and_costs_no_pay(store: Database) -> None:
    """In mid-session the consent text changes: who stops or says no now has left, with what was done on record."""
    changed = ConsentText("Something else.")
    for way in ("/work/stop", "/work/decline"):
        visitor = Visitor(store, room_with(store, helpful_turns=2), name=way)
        with visitor.client:
            visitor.start()
            visitor.say()
            write_all(store, "one", "two")
            visitor.choose(1)
        later = Visitor(store, replace(visitor.room, consent=changed), name=f"{way} later")
        later.worker, later.token = visitor.worker, visitor.token
        with later.client:
            later.open_link()
            assert later.page.form("/work/agree", "agreed") is not None
            said = later.post(way, {})
            assert "You have stopped" in said.text and "1 choice," in said.text, way
            sitting = sitting_of(later)
            assert (sitting.outcome, sitting.choices) == (Outcome.LEFT, 1), way


@pytest.mark.parametrize("before", ["completed", "left", "left now"])
def test_who_comes_back_to_a_changed_text_may_say_no(store: Database, before: str) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=1, tasks=1))
    changed = replace(visitor.room, consent=ConsentText("Now we also publish it."))
    with visitor.client:
        visitor.enter()
        if before == "completed":
            task(visitor, 1)
        else:
            visitor.send("/work/start")
        if before == "left":
            visitor.send("/work/stop")
        visitor.client.app.state.room = changed  # type: ignore[attr-defined]
        assert "Now we also publish it." in visitor.client.get("/work").text
        if before == "left now":
            assert "You have stopped" in visitor.send("/work/decline").text
        earlier = sitting_of(visitor)
        for _ in range(2):
            said = visitor.post("/work/decline", {}).text
            assert "That is fine" in said and "again=1" in said and said == visitor.client.get("/work").text
        assert sitting_of(visitor).outcome is Outcome.DECLINED
        declined = [one for _, one in sittings(store) if one.outcome is Outcome.DECLINED]
        assert len(declined) == 1, "a second press records nothing"
        assert sitting_of_id(store, earlier.id, visitor.worker.id) == earlier, "what was done before stands"
        assert "Now we also publish it." in visitor.client.get("/work?again=1").text
        visitor.post("/work/agree", {"digest": changed.consent.digest, "agreed": "1"})
        assert visitor.send("/work/start").status_code == 200 and current_talk(store, visitor.worker.id) is not None


def test_tasks_alternate_under_the_limits_and_say_why(store: Database) -> None:
    care = {"red_team_per_session": 1, "break_minutes": 0}
    visitor = Visitor(
        store, room_with(store, policy="alternating", tasks=4, helpful_turns=1, red_team_turns=1, care=care)
    )
    works = []
    with visitor.client:
        visitor.enter()
        for number in range(1, 5):
            html = visitor.client.get("/work").text
            assert f"Task {number} of 4" in html
            works.append(visitor.page.work)
            if number == 4:
                assert "as fits into one session" in html
            task(visitor, 1)
        assert works == ["helpful", "harmless", "helpful", "helpful"]
        assert sitting_of(visitor).outcome is Outcome.COMPLETED
        assert visitor.post("/work/start", {}).status_code == 200 and current_talk(store, visitor.worker.id) is None
        visitor.send("/work/again")
        assert "Task 1 of 4" in visitor.client.get("/work").text


def test_a_break_is_due_after_red_team_work_and_no_form_gets_around_it(store: Database) -> None:
    room = room_with(store, policy="red-team", red_team_turns=1, care={"break_after": 1, "break_minutes": 7})
    visitor = Visitor(store, room)
    with visitor.client:
        visitor.enter()
        task(visitor, 1)
        assert "can come in 7 min" in visitor.client.get("/work").text
        visitor.post("/work/start", {"objective": "harmless", "everyday": ""})
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None and talk.objective is Objective.HELPFUL


def test_the_cap_of_a_day_outlasts_a_sitting(store: Database) -> None:
    care = {"red_team_per_day": 1, "break_minutes": 0}
    visitor = Visitor(store, room_with(store, policy="red-team", red_team_turns=1, tasks=1, care=care))
    with visitor.client:
        visitor.enter()
        task(visitor, 1)
        visitor.send("/work/again")
        assert visitor.page.work == "helpful" and "fits into one day" in visitor.client.get("/work").text


def test_from_red_team_to_everyday_work_in_one_press(store: Database) -> None:
    visitor = Visitor(store, room_with(store, policy="red-team"))
    with visitor.client:
        visitor.enter()
        visitor.send("/work/start")
        assert visitor.page.work == "harmless"
        assert "Everyday work from here on" in visitor.send("/work/everyday").text
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None and talk.objective is Objective.HELPFUL
        visitor.post("/work/end", {"talk": talk.id, "leave": "1"})
        assert visitor.page.work == "helpful" and "as you asked" in visitor.client.get("/work").text
        visitor.send("/work/everyday")
        assert visitor.page.work == "harmless"


def test_switching_after_the_last_choice_of_the_last_task_ends_the_sitting(store: Database) -> None:
    visitor = Visitor(store, room_with(store, policy="red-team", red_team_turns=1, tasks=1))
    with visitor.client:
        visitor.enter()
        visitor.send("/work/start")
        visitor.say()
        write_all(store, "one", "two")
        visitor.choose(8)
        for _ in range(2):
            assert "All tasks are done" in visitor.post("/work/everyday", {}).text
        assert sitting_of(visitor).outcome is Outcome.COMPLETED and current_talk(store, visitor.worker.id) is None
        assert visitor.post("/work/stop", {}).status_code == 200
        assert sitting_of(visitor).outcome is Outcome.COMPLETED, "a second press ends nothing else"


def test_stopping_ends_everything_at_once_and_is_on_record(store: Database) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=2))
    with visitor.client:
        visitor.start()
        visitor.say()
        write_all(store, "one", "two")
        visitor.choose(1)
        html = visitor.send("/work/stop").text
        assert "You have stopped" in html and "0 whole tasks of 5, 1 choice," in html
        assert sitting_of(visitor).outcome is Outcome.LEFT and current_talk(store, visitor.worker.id) is None


@pytest.mark.parametrize("trouble", ["a failed reply", "no generator"])
def test_stopping_because_of_us_is_recorded_as_such(store: Database, tmp_path: Path, trouble: str) -> None:
    room = room_with(store, tmp_path)
    room.heartbeat.beat(GeneratorState.IDLE)
    visitor = Visitor(store, room)
    with visitor.client:
        visitor.start()
        visitor.say()
        if trouble == "a failed reply":
            for job in claim(store, "w", 9, 60.0):
                fail(store, "w", job.reply_id, "out of memory")
        else:
            assert room.heartbeat.path is not None
            room.heartbeat.path.unlink()
        assert "Something of ours did not work" in visitor.send("/work/stop").text
        assert sitting_of(visitor).outcome is Outcome.BROKEN


def test_a_choice_can_be_changed_until_the_next_message(store: Database) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=2))
    with visitor.client:
        visitor.start()
        comparison = visitor.say()
        write_all(store, "one", "two")
        visitor.choose(1)
        assert "You said: A is much better." in visitor.client.get("/work").text
        again = visitor.client.get("/work?again=1").text
        assert "Choose this instead" in again and "checked" not in again and again.count('<h2 class="speaker">') == 1
        form = re.search(r'name="instead" value="(\d)"', again)
        assert form is not None and form.group(1) == "1"
        fields = {"comparison": comparison, "key": "second", "button": "7", "instead": "1"}
        for _ in range(2):
            assert visitor.post("/work/choose", fields).status_code == 200
        assert "You said: B is better." in visitor.client.get("/work").text
        late = visitor.post("/work/choose", {**fields, "key": "third", "button": "3"})
        assert late.status_code == 409 and "last choice is kept" in late.text
        visitor.say("on we go")
        late = visitor.post("/work/choose", {**fields, "key": "fourth", "button": "3", "instead": "2"})
        assert late.status_code == 409 and "gone on" in late.text
        assert "again=1" not in visitor.client.get("/work").text
    with store.read() as session:
        rows = session.execute(select(ChoiceRow.number, ChoiceRow.button).order_by(ChoiceRow.number)).all()
    assert [tuple(row) for row in rows] == [(1, 1), (2, 7)], "both stay on record"


def test_a_message_answers_the_reply_that_stood_on_its_page(store: Database) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=2))
    with visitor.client:
        visitor.start()
        comparison = visitor.say()
        write_all(store, "one", "two")
        visitor.choose(1)
        old = visitor.page.form("/work/say")
        assert old is not None
        visitor.post("/work/choose", {"comparison": comparison, "key": "second", "button": "8", "instead": "1"})
        stale = visitor.post("/work/say", {**old.hidden, "text": "to the first reply"})
        assert stale.status_code == 409 and "another window" in stale.text and "to the first reply" in stale.text
        assert visitor.send("/work/say", text="to the second reply").status_code == 200


def test_red_team_work_is_rated_three_ways(store: Database) -> None:
    visitor = Visitor(store, room_with(store, policy="red-team", red_team_turns=1))
    with visitor.client:
        visitor.enter()
        task(visitor, 1, rating="5", harm="3", actionability="1")
    with store.read() as session:
        row = session.scalars(select(TalkRow)).one()
        assert (row.rating, row.harm, row.actionability) == (5, 3, 1)


def test_a_rating_that_is_none_is_refused(store: Database) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=1))
    with visitor.client:
        visitor.enter()
        assert visitor.send("/work/start").status_code == 200
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None
        for fields in ({"rating": "6"}, {"harm": "x"}, {"actionability": "0"}):
            assert visitor.post("/work/end", {"talk": talk.id, **fields}).status_code == 422


def test_red_team_replies_are_blurred_until_asked_for_and_help_is_near(store: Database) -> None:
    care = {"support": {"Crisis line": "0800 123", "Someone to talk to": "https://help.example/"}}
    visitor = Visitor(store, room_with(store, policy="red-team", care=care))
    with visitor.client:
        visitor.enter()
        for _ in range(2):
            html = visitor.client.get("/work").text
            assert 'href="tel:0800123"' in html and 'href="https://help.example/"' in html
            assert "Stop here" in html and "everyday" in html
            visitor.post("/work/start", {"shown": "harmless"})
        visitor.say()
        write_all(store, "one", "two")
        html = visitor.client.get("/work").text
        assert 'class="wide choose veiled"' in html and 'id="unveil"' in html and "checked" not in html
    open_one = Visitor(store, room_with(store, policy="red-team", care={"blur": False}), "other")
    with open_one.client:
        open_one.start()
        open_one.say()
        write_all(store, "one", "two")
        assert "veiled" not in open_one.client.get("/work").text


def test_nobody_chooses_between_replies_that_they_have_not_seen(store: Database) -> None:
    visitor = Visitor(store, room_with(store, policy="red-team", red_team_turns=2))
    with visitor.client:
        visitor.start()
        visitor.say()
        write_all(store, "one", "two")
        form = visitor.page.form("/work/choose", "unveiled")
        assert form is not None and 'id="unveil" name="unveiled" value="1" required' in visitor.client.get("/work").text
        refused = visitor.post(form.action, {**form.hidden, "button": "8"})
        assert refused.status_code == 422 and "still blurred" in refused.text
        assert visitor.page.form("/work/choose") is not None, "nothing was chosen"
        visitor.choose(8)
        html = visitor.client.get("/work").text
        assert 'class="turn assistant veiled"' in html and "Show this reply" in html
        assert 'class="turn human"' in html, "what people wrote themselves is not blurred"
        again = visitor.client.get("/work?again=1").text
        undo = re.search(r'name="instead" value="(\d)"', again)
        assert undo is not None and 'name="unveiled"' in again
        fields = {**form.hidden, "key": "second", "button": "1", "instead": undo.group(1)}
        assert visitor.post(form.action, fields).status_code == 422
        assert visitor.post(form.action, {**fields, "unveiled": "1"}).status_code == 200


def test_how_it_felt_is_asked_after_red_team_work_alone(store: Database) -> None:
    visitor = Visitor(store, room_with(store, policy="red-team", red_team_turns=1, tasks=1))
    with visitor.client:
        visitor.enter()
        assert "How do you feel" in task(visitor, 1).text
        assert "Thank you for telling us" in visitor.send("/work/feel", "answer", answer="2").text
        assert visitor.page.form("/work/feel") is None
    calm = Visitor(store, room_with(store, helpful_turns=1, tasks=1), "calm")
    with calm.client:
        calm.enter()
        assert "How do you feel" not in task(calm, 1).text
        calm.post("/work/feel", {"answer": "1"})
    with store.read() as session:
        (row,) = session.scalars(select(WellbeingRow)).all()
    year, week, _ = datetime.now(UTC).isocalendar()
    assert (row.answer, row.week) == (2, f"{year}-W{week:02}")


def test_one_workers_buttons_do_nothing_to_another(store: Database) -> None:
    room = room_with(store)
    first, second = Visitor(store, room), Visitor(store, room, "second")
    with first.client, second.client:
        first.start()
        second.enter()
        second.post("/work/stop", {})
        assert sitting_of(first).ended is None and current_talk(store, first.worker.id) is not None


def test_a_permitted_worker_improves_the_reply_and_goes_on_from_it(store: Database) -> None:
    visitor = Visitor(store, room_with(store, helpful_turns=2))
    with visitor.client:
        visitor.start()
        comparison = visitor.say()
        write_all(store, "one", "two")
        visitor.choose(1)
        assert "Improve this reply" not in visitor.client.get("/work").text
        refused = visitor.post("/work/edit", {"comparison": comparison, "text": "mine"})
        assert refused.status_code == 409 and "cannot be rewritten here" in refused.text
        permit_edits(store, visitor.worker.id, True)
        assert "Improve this reply" in visitor.client.get("/work").text
        html = visitor.client.get("/work?edit=1").text
        assert "The reply, as it should have been" in html and 'name="text"' in html
        assert visitor.post("/work/edit", {"comparison": comparison, "text": "x" * 8001}).status_code == 422
        elsewhere = visitor.post("/work/edit", {"comparison": comparison, "text": "of the other reply", "seen": "2.0"})
        assert elsewhere.status_code == 409 and "of the other reply" in elsewhere.text
        visitor.post("/work/edit", {"comparison": comparison, "text": "as it should be", "key": "k"})
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None and talk.conversation.turns[-1].text == "as it should be"
        assert "as it should be" in visitor.client.get("/work").text
