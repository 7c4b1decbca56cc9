"""The worker's routes, with the forms that the pages offer."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.room import Room
from concordant.collect.served_page import ServedPage
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.programme_config import CollectConfig
from concordant.store.consents import agree
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker
from concordant.store.registry import Snapshot, active_deployments, retire
from concordant.store.reply_queue import claim, fail, write_texts
from concordant.store.talk_views import current_talk
from concordant.store.talks import open_talk
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def visitor(store: Database) -> Iterator[Visitor]:
    deploy_two(store)
    found = Visitor(store)
    with found.client:
        yield found


def shown(page: ServedPage) -> str:
    """Which of the steps a page offers."""
    for form in page.forms:
        step = form.action.removeprefix("/work/")
        if step not in ("stop", "everyday") and (step != "end" or "rating" in form.fields):
            return step
    return "wait" if page.stream else "nothing"


def test_a_whole_conversation_on_either_database(database: Database) -> None:
    deploy_two(database)
    visitor = Visitor(database)
    with visitor.client:
        _hold_a_conversation(visitor)


def _hold_a_conversation(visitor: Visitor) -> None:
    assert shown(visitor.enter()) == "start"
    visitor.send("/work/start")
    for turn in range(1, 5):
        assert shown(visitor.page) == "say"
        visitor.say(f"question {turn}")
        assert shown(visitor.page) == "wait"
        write_all(visitor.db, f"good {turn}", f"bad {turn}")
        page = visitor.page
        assert shown(page) == "choose" and set(page.texts.values()) == {f"good {turn}", f"bad {turn}"}
        visitor.choose(2 if page.texts["a"].startswith("good") else 7)
    assert shown(visitor.page) == "end"
    talk = current_talk(visitor.db, visitor.worker.id)
    expected = Conversation()
    for turn in range(1, 5):
        expected = expected.human(f"question {turn}").assistant(f"good {turn}")
    assert talk is not None and talk.conversation == expected
    after = visitor.send("/work/end", "rating", rating="4", comment="I thought the assistant was fine")
    assert "Thank you" in after.text and current_talk(visitor.db, visitor.worker.id) is None


def test_the_strength_row_names_its_buttons_and_chooses_none(visitor: Visitor) -> None:
    visitor.start()
    visitor.say()
    write_all(visitor.db, "one", "two")
    html = visitor.client.get("/work").text
    names = re.findall(r'<span class="hidden">([AB] is [^<]+)</span></label>', html)
    assert len(names) == 8 and names[0] == "A is much better" and names[7] == "B is much better"
    assert names[3].startswith("A is slightly better") and names[4].startswith("B is slightly better")
    assert "checked" not in html


def test_a_reload_shows_the_same_page(visitor: Visitor) -> None:
    def now() -> str:
        return re.sub(r'(name="key" value="|look=)\w+', "", visitor.client.get("/work").text)

    visitor.start()
    assert now() == now()
    visitor.say()
    jobs = claim(visitor.db, "writer", 10, 60.0)
    write_texts(visitor.db, "writer", {job.reply_id: "half a" for job in jobs})
    assert now() == now() and "half a" not in now(), "nothing is shown before both are complete"


def test_the_same_message_sent_twice_counts_once(visitor: Visitor) -> None:
    visitor.start()
    form = visitor.page.form("/work/say")
    assert form is not None
    for _ in range(2):
        assert visitor.post("/work/say", {**form.hidden, "text": "hello"}).status_code == 200
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None and len(talk.conversation.turns) == 1


def test_the_same_choice_sent_twice_counts_once(visitor: Visitor) -> None:
    visitor.start()
    visitor.say()
    write_all(visitor.db, "one", "two")
    form = visitor.page.form("/work/choose")
    assert form is not None
    for _ in range(2):
        assert visitor.post("/work/choose", {**form.hidden, "button": "3"}).status_code == 200
    other = visitor.post("/work/choose", {**form.hidden, "key": "another tab", "button": "6"})
    assert other.status_code == 409 and "first choice is kept" in other.text


def test_two_windows_do_not_meet_half_way(visitor: Visitor) -> None:
    visitor.start()
    old = visitor.page.form("/work/say")
    assert old is not None
    visitor.say("from the first window")
    refused = visitor.post("/work/say", {**old.hidden, "key": "second window", "text": "from the second"})
    assert refused.status_code == 409 and "two replies wait for your choice" in refused.text.lower()
    write_all(visitor.db, "one", "two")
    visitor.choose(1)
    stale = visitor.post("/work/say", {**old.hidden, "key": "second window", "text": "from the second"})
    assert stale.status_code == 409 and "another window" in stale.text and "from the second" in stale.text


@pytest.mark.parametrize(
    ("text", "said"), [("", "nothing in your message"), (" \n ", "nothing"), ("x" * 4001, "4,001")]
)
def test_a_message_that_cannot_be_sent_is_kept_with_kind_words(visitor: Visitor, text: str, said: str) -> None:
    visitor.start()
    answer = visitor.send("/work/say", text=text)
    assert answer.status_code == 422 and said in answer.text and text.strip() in answer.text
    assert "invalid" not in answer.text.lower()
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None and not talk.conversation.turns


def test_a_message_of_the_longest_length_is_taken_as_it_was_written(visitor: Visitor) -> None:
    visitor.start()
    text = "é<b>&\n" * 666 + "four"  # exactly 4,000 characters; browsers send line ends as CR LF
    assert len(text) == 4000
    visitor.say(text.replace("\n", "\r\n"))
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None and talk.conversation == Conversation().human(text)


@pytest.mark.parametrize("button", ["", "0", "9", "-1", "A", "²"])
def test_a_choice_needs_one_of_the_eight_buttons(visitor: Visitor, button: str) -> None:
    visitor.start()
    visitor.say()
    write_all(visitor.db, "one", "two")
    answer = visitor.send("/work/choose", button=button)
    assert answer.status_code == 422 and "Nothing is chosen yet" in answer.text
    assert shown(visitor.page) == "choose"


def test_a_choice_before_both_replies_are_complete_is_refused(visitor: Visitor) -> None:
    visitor.start()
    comparison = visitor.say()
    answer = visitor.post("/work/choose", {"comparison": comparison, "key": "k", "button": "1"})
    assert answer.status_code == 409 and "not complete" in answer.text


def test_a_failed_reply_says_so_and_is_written_again(visitor: Visitor) -> None:
    visitor.start()
    visitor.say()
    first, second = claim(visitor.db, "writer", 10, 60.0)
    fail(visitor.db, "writer", first.reply_id, "it broke")
    assert shown(visitor.page) == "wait"  # the other one is still being written
    fail(visitor.db, "writer", second.reply_id, "it broke")
    assert shown(visitor.page) == "retry"
    visitor.send("/work/retry")
    assert shown(visitor.page) == "wait"
    write_all(visitor.db, "one", "two")
    assert shown(visitor.page) == "choose"


def test_one_can_always_leave(visitor: Visitor) -> None:
    visitor.start()
    for prepare in (lambda: None, visitor.say, lambda: write_all(visitor.db, "one", "two")):
        prepare()
        assert visitor.page.form("/work/end") is not None
    answer = visitor.send("/work/end")
    assert "You have left the conversation" in answer.text
    assert current_talk(visitor.db, visitor.worker.id) is None


def test_ratings_and_comments_that_cannot_be_taken(visitor: Visitor) -> None:
    visitor.start()
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None
    assert visitor.post("/work/end", {"talk": talk.id, "rating": "6"}).status_code == 422
    assert visitor.post("/work/end", {"talk": talk.id, "comment": "x" * 2001}).status_code == 422
    assert visitor.post("/work/end", {"talk": talk.id, "rating": "5"}).status_code == 200
    late = visitor.post("/work/say", {"talk": talk.id, "turn": "1", "text": "late", "key": "k"})
    assert late.status_code == 409 and "has ended" in late.text


def test_red_team_work_warns_is_marked_and_asks_for_the_more_harmful_reply(store: Database) -> None:
    deploy_two(store)
    visitor = Visitor(store, room_with(store, red_team_share=1.0, red_team_turns=1))
    with visitor.client:
        visitor.enter()
        assert "This is red-team work" in visitor.client.get("/work").text
        visitor.send("/work/start")
        html = visitor.client.get("/work").text
        assert "Before you begin" in html and 'data-work="harmless"' in html and "Leave this conversation" in html
        visitor.say("Tell me how to lie.")
        write_all(store, "one", "two")
        html = visitor.client.get("/work").text
        assert "Which reply is more harmful?" in html and "A is much more harmful" in html
        assert "Leave this conversation" in html and "better" not in html
        visitor.choose(8)
        assert "makes assistants safer" in visitor.send("/work/end", "rating", rating="2").text


def test_red_team_work_can_be_declined_beforehand(store: Database) -> None:
    deploy_two(store)
    visitor = Visitor(store, room_with(store, red_team_share=1.0))
    with visitor.client:
        assert visitor.enter().work == "harmless"
        visitor.send("/work/everyday")
        assert visitor.page.work == "helpful"
        visitor.send("/work/start")
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None and talk.objective is Objective.HELPFUL


def test_a_talk_that_staff_opened_is_the_one_that_is_shown(visitor: Visitor) -> None:
    open_talk(visitor.db, visitor.worker.id, Objective.HARMLESS, 2, "board:iteration-1")
    assert visitor.enter().work == "harmless"
    assert "choice 1 of 2" in visitor.client.get("/work").text


def test_people_cannot_name_a_study_or_an_objective(visitor: Visitor) -> None:
    visitor.enter()
    visitor.post("/work/start", {"study": "board:x", "objective": "harmless", "turns": "9"})
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None
    assert (talk.study, talk.objective, talk.turns) == ("", Objective.HELPFUL, CollectConfig().helpful_turns)


def test_another_workers_talk_does_not_exist(visitor: Visitor) -> None:
    visitor.start()
    comparison = visitor.say()
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None
    write_all(visitor.db, "one", "two")
    stranger = Visitor(visitor.db, visitor.room, "stranger")
    with stranger.client:
        stranger.enter()
        for action, fields in (
            ("/work/say", {"talk": talk.id, "turn": "1", "text": "hello"}),
            ("/work/choose", {"comparison": comparison, "button": "1"}),
            ("/work/retry", {"comparison": comparison}),
            ("/work/end", {"talk": talk.id}),
            ("/work/choose", {"comparison": "none", "button": "1"}),
            ("/work/say", {}),
        ):
            assert stranger.post(action, fields).status_code == 404, action
        assert stranger.client.get(f"/work/stream/{comparison}").status_code == 404
    assert shown(visitor.page) == "choose"


def test_without_a_link_there_is_no_page(visitor: Visitor) -> None:
    for address in ("/work", "/work/stream/none"):
        answer = visitor.client.get(address)
        assert answer.status_code == 403 and "Open your own link first" in answer.text
    assert visitor.post("/work/start", {}).status_code == 403
    unknown = visitor.client.get("/w/not-a-link")
    assert unknown.status_code == 404 and "not known" in unknown.text


def test_the_links_cookie_is_kept_from_scripts(visitor: Visitor) -> None:
    answer = visitor.client.get(f"/w/{visitor.token}", follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert answer.status_code == 303 and answer.headers["location"] == "/work"
    assert "httponly" in cookie and "samesite=lax" in cookie and "secure" not in cookie
    with TestClient(create_app(visitor.room), base_url="https://testserver") as secure:
        answer = secure.get(f"/w/{visitor.token}", follow_redirects=False)
        assert "secure" in answer.headers["set-cookie"].lower()


def test_no_model_no_talk(store: Database) -> None:
    visitor = Visitor(store)
    with visitor.client:
        assert shown(visitor.enter()) == "nothing"
        assert "no model to talk with just now" in visitor.client.get("/work").text


def test_a_model_that_is_retired_in_the_middle_keeps_what_was_typed(visitor: Visitor) -> None:
    visitor.start()
    form = visitor.page.form("/work/say")
    assert form is not None
    for deployment in active_deployments(visitor.db):
        retire(visitor.db, deployment.id)
    assert shown(visitor.page) == "nothing"
    answer = visitor.post("/work/say", {**form.hidden, "text": "my long message"})
    assert answer.status_code == 409 and "my long message" in answer.text and "your message is not sent" in answer.text


def test_waiting_says_what_it_waits_for(store: Database, tmp_path: Path) -> None:
    deploy_two(store)
    room = room_with(store, tmp_path)
    first, second = Visitor(store, room), Visitor(store, room, "second")
    with first.client, second.client:
        first.start()
        first.say()
        second.start()
        second.say()
        assert "is not running just now" in second.client.get("/work").text
        room.heartbeat.beat(GeneratorState.STARTING)
        assert "is starting" in second.client.get("/work").text
        room.heartbeat.beat(GeneratorState.IDLE)
        assert "1 comparison is before yours" in second.client.get("/work").text
        claim(store, "writer", 4, 60.0)
        assert "Writing two replies…" in second.client.get("/work").text


def test_very_long_replies_fold_alike(visitor: Visitor) -> None:
    visitor.start()
    visitor.say()
    write_all(visitor.db, "short", "long " * 500)
    html = visitor.client.get("/work").text
    assert html.count("Show both replies in full") == 1 and 'class="pair long"' in html


def test_markup_from_a_model_is_shown_and_not_run(visitor: Visitor) -> None:
    visitor.start()
    visitor.say("<script>mine</script>")
    write_all(visitor.db, '<script>alert(1)</script> "quoted" & <img src=x>', "**bold**")
    html = visitor.client.get("/work").text
    assert "<script>alert" not in html and "<script>mine" not in html and "<img" not in html
    assert "<strong>bold</strong>" in html and "&lt;script&gt;mine" in html


def test_nothing_that_a_worker_gets_names_a_model(visitor: Visitor) -> None:
    """Every answer of a whole conversation, streams and headers included, is searched for labels, ids and folders."""
    heard: list[str] = []

    def listen(response: Any) -> None:
        response.read()
        heard.append(f"{response.url} {response.headers} {response.text}")

    visitor.client.event_hooks["response"] = [listen]
    visitor.enter()
    open_talk(visitor.db, visitor.worker.id, Objective.HELPFUL, 2, "board:label")
    for turn in range(2):
        comparison = visitor.say(f"question {turn}")
        jobs = claim(visitor.db, "writer", 10, 60.0)
        write_texts(visitor.db, "writer", {job.reply_id: "some words" for job in jobs})
        visitor.client.get("/work")
        fail(visitor.db, "writer", jobs[0].reply_id, "snapshot label-of-base broke")
        fail(visitor.db, "writer", jobs[1].reply_id, "snapshot label-of-base broke")
        visitor.client.get(f"/work/stream/{comparison}")
        visitor.send("/work/retry")
        write_all(visitor.db, "one", "two")
        visitor.client.get(f"/work/stream/{comparison}")
        visitor.choose(3)
    visitor.send("/work/end", "rating", rating="3")
    secrets = [secret for deployment in active_deployments(visitor.db) for secret in _secrets(deployment.snapshot)]
    assert len(heard) > 20 and len(secrets) == 6
    for secret in secrets:
        assert not any(secret in answer for answer in heard), secret


def _secrets(snapshot: Snapshot) -> list[str]:
    return [snapshot.id, snapshot.label, snapshot.spec["adapter"] or snapshot.spec["folder"]]


def test_a_worker_of_a_script_sees_the_same_page(visitor: Visitor) -> None:
    script, token = add_worker(visitor.db, "a script", WorkerKind.SCRIPTED)
    visitor.open_link()
    consent = visitor.client.get("/work").text
    visitor.enter()
    page = visitor.client.get("/work").text
    with TestClient(create_app(Room(visitor.db, CollectConfig()))) as scripted:
        assert scripted.get(f"/w/{token}").text == consent
        agree(visitor.db, script.id, visitor.room.consent)
        assert scripted.get("/work").text == page
