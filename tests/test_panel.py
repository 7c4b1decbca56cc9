"""Workers who come from a panel: one worker a participant, one sitting a session, a code at the end."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.panel import preset
from concordant.collect.room import Room
from concordant.collect.served_page import read_page
from concordant.config import load_config
from concordant.errors import UserError
from concordant.programme_config import PanelConfig, ProgrammeConfig
from concordant.store.database import Database
from concordant.store.people import workers
from concordant.store.registry import active_deployments, retire
from concordant.store.sittings import Outcome, last_sitting, sittings
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all

PROLIFIC = {"name": "prolific", "code": "C0DE", "part_code": "PART"}
ADDRESS = "/panel?PROLIFIC_PID=p1&STUDY_ID=study&SESSION_ID=s1"


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


class Participant(Visitor):
    """A visitor who comes by a panel's link instead of their own."""

    def __init__(self, db: Database, room: Room) -> None:
        self.db, self.room = db, room
        self.client = TestClient(create_app(room), follow_redirects=True)

    def arrive(self, address: str = ADDRESS, agree: bool = True) -> str:
        answer = self.client.get(address)
        assert answer.status_code == 200, answer.text
        form = self.page.form("/work/agree", "agreed")
        if form is not None and agree:
            self.post(form.action, {**form.hidden, "agreed": "1"})
        (self.worker,) = workers(self.db)
        return str(self.client.get("/work").text)

    def do_task(self, turns: int) -> None:
        self.send("/work/start")
        for turn in range(turns):
            self.say(f"question {turn}")
            write_all(self.db, "one", "two")
            self.choose(1)
        self.send("/work/end", "rating", rating="4")


def outcome(store: Database) -> Outcome | None:
    ((_, sitting),) = sittings(store)
    return sitting.outcome


def test_from_the_panel_and_back_with_a_code(store: Database) -> None:
    visitor = Participant(store, room_with(store, panel=PROLIFIC, tasks=2, helpful_turns=1))
    with visitor.client:
        assert "Task 1 of 2" in visitor.arrive()
        visitor.do_task(1)
        assert "Task 2 of 2" in visitor.client.get("/work").text
        visitor.do_task(1)
        html = visitor.client.get("/work").text
        assert "All tasks are done" in html and "C0DE" in html and "PART" not in html
        assert 'href="https://app.prolific.com/submissions/complete?cc=C0DE"' in html
        assert "2 whole tasks of 2, 2 choices" in html and "/work/again" not in html
        assert visitor.post("/work/again", {}).status_code == 200
    ((name, sitting),) = sittings(store)
    assert name == "prolific p1" and sitting.outcome is Outcome.COMPLETED
    assert sitting.handoff is not None and (sitting.handoff.study, sitting.handoff.session) == ("study", "s1")


def test_the_same_session_in_another_browser_goes_on_where_it_was(store: Database) -> None:
    room = room_with(store, panel=PROLIFIC, tasks=2, helpful_turns=1)
    first, second = Participant(store, room), Participant(store, room)
    with first.client, second.client:
        first.arrive()
        first.do_task(1)
        assert "Task 2 of 2" in second.arrive(), "no second agreement, and no task twice"
        first.do_task(1)
        assert "C0DE" in second.arrive()
    assert len(workers(store)) == 1 and len(sittings(store)) == 1


def test_who_stops_gets_the_code_for_a_part_and_who_vanishes_is_on_record(store: Database) -> None:
    visitor = Participant(store, room_with(store, panel=PROLIFIC, tasks=5, helpful_turns=1))
    with visitor.client:
        visitor.arrive()
        visitor.do_task(1)
        ((_, open_one),) = sittings(store)
        assert (open_one.outcome, open_one.done, open_one.choices) == (None, 1, 1)
        assert "PART" in visitor.send("/work/stop").text
        assert outcome(store) is Outcome.LEFT
        assert "You have stopped" in visitor.client.get(ADDRESS).text
        assert "Task 1 of 5" in visitor.arrive(ADDRESS.replace("s1", "s2")), "a new session is a new sitting"


def test_the_code_of_an_ended_session_is_reached_though_a_later_one_is_open(store: Database) -> None:
    room = room_with(store, panel=PROLIFIC, tasks=1, policy="red-team", red_team_turns=1)
    visitor = Participant(store, room)
    with visitor.client:
        visitor.arrive()
        visitor.do_task(1)
        assert "Task 1 of 1" in visitor.arrive(ADDRESS.replace("s1", "s2"))
        earlier = visitor.client.get(ADDRESS)
        assert "C0DE" in earlier.text and "Go on with the session that is open" in earlier.text
        form = read_page(earlier.text).form("/work/feel", "answer")
        assert form is not None
        assert "Thank you for telling us" in visitor.post(form.action, {**form.hidden, "answer": "3"}).text
        assert "Task 1 of 1" in visitor.client.get("/work").text
        address = str(earlier.url)
        (open_one,) = (sitting for _, sitting in sittings(store) if sitting.ended is None)
        assert "Task 1 of 1" in visitor.client.get(f"/work/session/{open_one.id}").text
    stranger = Visitor(store, room, "stranger")
    with stranger.client:
        stranger.enter()
        assert stranger.client.get(address).status_code == 404


@pytest.mark.parametrize(("said", "code"), [(0, False), (1, True)])
def test_a_part_begins_with_the_first_message(store: Database, said: int, code: bool) -> None:
    """Who read two replies and then left has worked; who left before writing anything has not."""
    visitor = Participant(store, room_with(store, panel=PROLIFIC))
    with visitor.client:
        visitor.arrive()
        visitor.send("/work/start")
        for _ in range(said):
            visitor.say()
        assert ("PART" in visitor.send("/work/stop").text) is code
    assert outcome(store) is Outcome.LEFT


def test_who_cannot_go_on_because_of_us_gets_a_part_in_any_case(store: Database) -> None:
    visitor = Participant(store, room_with(store, panel=PROLIFIC))
    with visitor.client:
        visitor.arrive()
        visitor.send("/work/start")
        for deployment in active_deployments(store):
            retire(store, deployment.id)
        assert "PART" in visitor.send("/work/stop").text
    assert outcome(store) is Outcome.BROKEN


def test_who_cannot_even_begin_because_of_us_gets_a_part(store: Database) -> None:
    for deployment in active_deployments(store):
        retire(store, deployment.id)
    visitor = Participant(store, room_with(store, panel=PROLIFIC))
    with visitor.client:
        assert "no model" in visitor.arrive()
        assert "PART" in visitor.send("/work/stop").text
    assert outcome(store) is Outcome.BROKEN


def test_no_is_an_answer(store: Database) -> None:
    visitor = Participant(store, room_with(store, panel=PROLIFIC))
    with visitor.client:
        assert "Before you begin" in visitor.arrive(agree=False)
        answer = visitor.send("/work/decline")
        assert "That is fine" in answer.text and "PART" not in answer.text
        sitting = last_sitting(store, visitor.worker.id)
        assert sitting is not None and sitting.outcome is Outcome.DECLINED
        # Said twice, and then agreed to in another tab: it stays the panel's sitting, and no other is begun.
        visitor.post("/work/decline", {})
        visitor.post("/work/agree", {"digest": visitor.room.consent.digest, "agreed": "1"})
        visitor.post("/work/start", {})
        assert "That is fine" in visitor.client.get("/work").text
        assert [found.id for _, found in sittings(store)] == [sitting.id]


@pytest.mark.parametrize(
    "address",
    [
        "/panel",
        "/panel?PROLIFIC_PID=p1",
        "/panel?PROLIFIC_PID=p1&SESSION_ID=%7B%7B%25SESSION_ID%25%7D%7D",
        "/panel?PROLIFIC_PID=%20&SESSION_ID=s",
        f"/panel?PROLIFIC_PID={'x' * 201}&SESSION_ID=s",
        "/panel?PROLIFIC_PID=p1,9.00%0Ap2,9.00&SESSION_ID=s",
        "/panel?PROLIFIC_PID=p1&SESSION_ID=s%00",
    ],
)
def test_a_link_with_a_hole_makes_nobody(store: Database, address: str) -> None:
    with TestClient(create_app(room_with(store, panel=PROLIFIC))) as client:
        answer = client.get(address)
    assert answer.status_code == 422 and "not complete" in answer.text
    assert workers(store) == []


def test_without_a_panel_nobody_comes_so(store: Database) -> None:
    with TestClient(create_app(room_with(store))) as client:
        assert client.get(ADDRESS).status_code == 404
    assert workers(store) == []


def test_any_panel_names_its_own_parameters_and_address(store: Database) -> None:
    back = "https://panel.example/done?who={participant}&s={session}&code={code}"
    panel = {"name": "ours", "participant": "pid", "session": "sid", "code": "a b&c", "back": back}
    visitor = Participant(store, room_with(store, panel=panel, tasks=1, helpful_turns=1))
    with visitor.client:
        visitor.arrive("/panel?pid=p%2F1&sid=s1")
        visitor.do_task(1)
        html = visitor.client.get("/work").text
    assert "https://panel.example/done?who=p%2F1&amp;s=s1&amp;code=a%20b%26c" in html
    assert preset(PanelConfig(name="ours")).participant == "participant"


@pytest.mark.parametrize("back", ["javascript:alert(1)", "https://x.example/{oops}", "https://x.example/{"])
def test_an_address_that_cannot_be_filled_in_is_refused(back: str) -> None:
    with pytest.raises(UserError, match="back"):
        load_config(ProgrammeConfig, overrides=[f"panel.back={back}"])
