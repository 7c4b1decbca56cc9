"""Topics that a worker opted out of, in their own red-team conversation: on no page and in no stream unasked."""

import html
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from concordant.collect import replies_watch
from concordant.collect.messages import messages
from concordant.collect.room import Room
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.opt_outs import opt_out, opted_out
from concordant.store.reply_queue import claim, finish, write_texts
from concordant.store.sittings import last_sitting
from concordant.store.talk_views import current_talk
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all

DARK = "Then they murdered the gardener."
FINE = "Roses want sun."
KEPT_BACK = "would rather not meet: violence. It has not been sent"


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def red_room(db: Database, **settings: Any) -> Room:
    return room_with(db, **{"policy": "red-team", "red_team_turns": 2, **settings})


@pytest.fixture
def visitor(store: Database) -> Iterator[Visitor]:
    found = Visitor(store, red_room(store))
    with found.client:
        found.enter()
        found.send("/work/topics", "topic", topic="violence")
        found.send("/work/start")
        yield found


def now(visitor: Visitor, address: str = "/work") -> str:
    return html.unescape(visitor.client.get(address).text)


def way(page: str) -> str:
    found = re.search(r'href="([^"]*)">Show it all the same', page)
    assert found is not None
    return found[1]


def test_a_worker_ticks_topics_and_they_stay_over_reloads_and_browsers(store: Database) -> None:
    visitor = Visitor(store, red_room(store))
    with visitor.client:
        visitor.enter()
        page = now(visitor)
        assert "Topics that you would rather not meet" in page and "checked" not in page
        saved = visitor.post("/work/topics", {"topic": ["violence", "hate", "nonsense"]})  # type: ignore[dict-item]
        assert "Saved. It holds" in saved.text and opted_out(store, visitor.worker.id) == {"violence", "hate"}
        ticked = re.findall(r'value="([^"]+)" id="topic\d" checked', now(visitor))
        assert ticked == ["violence", "hate"]
        visitor.send("/work/start")
        assert re.findall(r'value="([^"]+)" id="topic\d" checked', now(visitor)) == ticked, "in the conversation too"
        assert "Saved. It holds" in visitor.send("/work/topics", "topic", topic="hate").text
    another = Visitor(store, visitor.room)
    another.worker, another.token = visitor.worker, visitor.token
    with another.client:
        another.open_link()
        assert re.findall(r'value="([^"]+)" id="topic\d" checked', now(another)) == ["hate"]
        another.send("/work/topics", "topic")
        assert opted_out(store, visitor.worker.id) == frozenset()


@pytest.mark.parametrize("texts", [(DARK, FINE), (FINE, DARK), (DARK, DARK)])
def test_a_pair_that_touches_a_topic_stays_away_until_it_is_asked_for(visitor: Visitor, texts: tuple[str, str]) -> None:
    comparison = visitor.say("Tell me of a murder in the garden")
    write_all(visitor.db, *texts)
    page = now(visitor)
    assert KEPT_BACK in page and "murder in the garden" in page, "one's own words stay"
    assert "murdered" not in page and "Roses" not in page, "both stay away together"
    assert visitor.page.texts == {} and visitor.page.form("/work/choose") is None
    assert now(visitor, f"/work?show={'0' * 32}&show=1&show=2").count("Roses") == 0
    asked = now(visitor, way(page))
    assert KEPT_BACK not in asked and all(text in asked for text in texts)
    assert 'id="unveil"' not in asked and 'choose veiled"' not in asked, "who asked for it need not ask twice"
    assert "murdered" not in now(visitor), "a reload without asking"
    assert comparison in way(page)


def test_a_choice_between_two_that_were_not_shown_is_refused(visitor: Visitor) -> None:
    comparison = visitor.say()
    write_all(visitor.db, DARK, FINE)
    for unveiled in ("", "1", "0" * 32):
        fields = {"comparison": comparison, "key": "k", "button": "2", "unveiled": unveiled}
        answer = visitor.post("/work/choose", fields)
        assert answer.status_code == 422 and "still kept back" in answer.text and "Roses" not in answer.text
    page = visitor.client.get(f"/work?show={comparison}").text
    hidden = re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', page[page.index('action="/work/choose"') :])
    form = dict(hidden[:3])
    assert form["unveiled"] == comparison
    nothing = visitor.post("/work/choose", form)
    assert nothing.status_code == 422 and "Roses" in nothing.text, "what was asked for stays on the page"
    assert visitor.post("/work/choose", {**form, "button": "2"}).status_code == 200
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None and talk.undoable is not None and talk.undoable.button == 2


def test_what_was_chosen_stays_away_from_the_pages_after_it(visitor: Visitor) -> None:
    comparison = visitor.say()
    write_all(visitor.db, DARK)
    visitor.post("/work/choose", {"comparison": comparison, "key": "k", "button": "2", "unveiled": comparison})
    page = now(visitor)
    assert KEPT_BACK in page and "murdered" not in page and visitor.page.form("/work/say") is not None
    asked = now(visitor, way(page))
    assert "murdered" in asked and "Show this reply" not in asked
    again = now(visitor, "/work?again=1")
    assert "murdered" not in again and "Keep the choice as it is" in again
    assert "again=1" in way(again) and "murdered" in now(visitor, way(again))
    refused = visitor.send("/work/say", text=" ")
    assert refused.status_code == 422 and "murdered" not in refused.text
    second = visitor.say("and then?")
    write_all(visitor.db, "They were strangled too.")
    page = now(visitor)
    assert page.count(KEPT_BACK) == 2
    pair = now(visitor, f"/work?show={second}")
    assert "strangled" in pair and "murdered" not in pair, "each is asked for by itself"
    both = now(visitor, way(pair))
    assert "strangled" in both and "murdered" in both


def test_ending_costs_no_pay_and_no_reason(visitor: Visitor) -> None:
    comparison = visitor.say()
    write_all(visitor.db, FINE)
    visitor.post("/work/choose", {"comparison": comparison, "key": "k", "button": "2", "unveiled": "1"})
    visitor.say("more")
    write_all(visitor.db, DARK)
    assert "End this conversation" in now(visitor)
    assert "You have left the conversation" in visitor.send("/work/end").text
    sitting = last_sitting(visitor.db, visitor.worker.id)
    assert sitting is not None and (sitting.left, sitting.choices, sitting.ended) == (1, 1, None)


def test_opting_out_in_the_middle_and_back_in(store: Database) -> None:
    visitor = Visitor(store, red_room(store))
    with visitor.client:
        visitor.enter()
        visitor.send("/work/start")
        visitor.say()
        write_all(store, DARK)
        assert "murdered" in now(visitor)
        assert "murdered" not in visitor.send("/work/topics", "topic", topic="violence").text
        visitor.send("/work/topics", "topic", topic="hate")
        assert "murdered" in now(visitor) and visitor.page.form("/work/choose") is not None


def test_other_replies_and_helpful_work_are_as_ever(visitor: Visitor) -> None:
    visitor.say()
    write_all(visitor.db, FINE)
    assert "Roses" in now(visitor) and KEPT_BACK not in now(visitor) and "veiled" in now(visitor)
    visitor.send("/work/everyday")
    visitor.say()
    write_all(visitor.db, DARK)
    page = now(visitor)
    assert "murdered" in page and "/work/topics" not in page
    visitor.choose(2)
    assert "murdered" in now(visitor)


@pytest.mark.parametrize("show", ["lockstep", "free"])
@pytest.mark.parametrize("wary", [True, False])
def test_no_stream_sends_what_may_yet_touch_a_topic(
    store: Database, show: str, wary: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even its beginning: what it will touch is known only when it is complete."""
    monkeypatch.setattr(replies_watch, "POLL_SECONDS", 0.02)
    visitor = Visitor(store, red_room(store, show=show))
    with visitor.client, ThreadPoolExecutor(1) as pool:
        visitor.enter()
        visitor.send("/work/start")
        if wary:
            opt_out(store, visitor.worker.id, ["violence"])
        comparison = visitor.say()
        jobs = claim(store, "writer", 9, 60.0)
        write_texts(store, "writer", {job.reply_id: "Then they murdered" for job in jobs})
        assert ("murdered" in now(visitor)) is not wary
        heard = pool.submit(visitor.client.get, f"/work/stream/{comparison}")
        time.sleep(0.5)
        finish(store, "writer", {job.reply_id: Reply(DARK, True, 3) for job in jobs})
        events = heard.result(timeout=30).text
        assert "event: ready" in events and ("Then they" in events) is not wary
        assert ("murdered" in now(visitor)) is not wary


def test_a_topic_is_said_in_the_pages_language_and_a_programmes_own_as_it_names_it(
    store: Database, tmp_path: Path
) -> None:
    (tmp_path / "de.toml").write_text('[topics.names]\nviolence = "Gewalt"\n')
    room = red_room(store, care={"topics": {"spiders & snakes": ["spider"], "hate": []}})
    visitor = Visitor(store, replace(room, say=messages(tmp_path / "de.toml")))
    with visitor.client:
        visitor.enter()
        page = visitor.client.get("/work").text
        assert ">Gewalt</label>" in page and ">spiders &amp; snakes</label>" in page and 'value="hate"' not in page
        visitor.post("/work/topics", {"topic": "spiders & snakes"})
        visitor.send("/work/start")
        visitor.say()
        write_all(store, "A spider, and a murder.")
        assert "would rather not meet: spiders & snakes." in now(visitor)


def test_where_a_programme_has_no_topics_nothing_is_offered(store: Database) -> None:
    names = ("self-harm", "sexual content", "violence", "abuse of children", "hate")
    visitor = Visitor(store, red_room(store, care={"topics": {name: [] for name in names}}))
    with visitor.client:
        visitor.enter()
        assert "/work/topics" not in visitor.client.get("/work").text
        visitor.post("/work/topics", {"topic": "hate"})
        assert opted_out(store, visitor.worker.id) == frozenset()
