"""Forms that are refused: whatever somebody typed stands on the page that says so, and nothing begins unasked."""

import html
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from concordant.collect.room import built_in_consent
from concordant.collect.served_page import ServedForm, read_page
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme_config import CollectConfig
from concordant.store.consents import ConsentText
from concordant.store.database import Database
from concordant.store.edits import edit
from concordant.store.people import permit_edits
from concordant.store.registry import active_deployments
from concordant.store.talk_views import current_talk, view
from concordant.store.talks import Answers, Draw, Elsewhere, Ending, choose, end_talk, say
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all

TYPED = "What I wrote took me ten minutes & <b>more</b>."


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


@pytest.fixture
def visitor(store: Database) -> Iterator[Visitor]:
    found = Visitor(store, room_with(store, helpful_turns=2))
    with found.client:
        found.start()
        permit_edits(store, found.worker.id, True)
        yield found


def talk_id(visitor: Visitor) -> str:
    talk = current_talk(visitor.db, visitor.worker.id)
    assert talk is not None
    return talk.id


def form_of(visitor: Visitor, action: str, offers: str = "", address: str = "/work") -> ServedForm:
    form = read_page(visitor.client.get(address).text).form(action, offers)
    assert form is not None
    return form


def a_turn(visitor: Visitor, button: int = 1) -> str:
    comparison = visitor.say()
    write_all(visitor.db, "one", "two")
    visitor.choose(button)
    return comparison


def end_elsewhere(visitor: Visitor) -> None:
    end_talk(visitor.db, talk_id(visitor), Ending())


def answer_elsewhere(visitor: Visitor) -> None:
    visitor.say("from another window")


def turn_elsewhere(visitor: Visitor) -> None:
    answer_elsewhere(visitor)
    write_all(visitor.db, "three", "four")
    visitor.choose(8)


def new_consent(visitor: Visitor) -> None:
    visitor.client.app.state.room = replace(visitor.room, consent=ConsentText("Another text."))  # type: ignore[attr-defined]


def other_browser(visitor: Visitor) -> None:
    visitor.client.cookies.clear()


def nothing(visitor: Visitor) -> None:
    """The form itself is at fault."""


@pytest.mark.parametrize("meanwhile", [end_elsewhere, answer_elsewhere, turn_elsewhere, new_consent, other_browser])
def test_a_message_is_handed_back(visitor: Visitor, meanwhile: Callable[[Visitor], None]) -> None:
    a_turn(visitor)
    form = form_of(visitor, "/work/say", "text")
    meanwhile(visitor)
    answer = visitor.post(form.action, {**form.hidden, "text": TYPED})
    assert answer.status_code in (403, 409) and html.escape(TYPED) in answer.text


@pytest.mark.parametrize("meanwhile", [end_elsewhere, answer_elsewhere, turn_elsewhere, new_consent, other_browser])
def test_a_rewritten_reply_is_handed_back(visitor: Visitor, meanwhile: Callable[[Visitor], None]) -> None:
    a_turn(visitor)
    form = form_of(visitor, "/work/edit", "text", "/work?edit=1")
    meanwhile(visitor)
    answer = visitor.post(form.action, {**form.hidden, "text": TYPED})
    assert answer.status_code in (403, 409) and html.escape(TYPED) in answer.text
    if meanwhile is turn_elsewhere:
        assert "readonly" in answer.text, "the next reply is not the one that was rewritten"


@pytest.mark.parametrize(
    ("meanwhile", "fields"),
    [
        (end_elsewhere, {}),
        (new_consent, {}),
        (other_browser, {}),
        (nothing, {"rating": "9"}),
        (nothing, {"comment": TYPED + "x" * 2000}),
    ],
)
def test_a_comment_is_handed_back(
    visitor: Visitor, meanwhile: Callable[[Visitor], None], fields: dict[str, str]
) -> None:
    for _ in range(2):
        a_turn(visitor)
    form = form_of(visitor, "/work/end", "comment")
    meanwhile(visitor)
    answer = visitor.post(form.action, {**form.hidden, "rating": "4", "comment": TYPED, **fields})
    assert answer.status_code in (403, 409, 422) and html.escape(TYPED) in answer.text
    if "comment" in fields:
        assert 'id="rating4" checked' in answer.text, "and so is the rating"


def test_text_for_a_conversation_that_is_not_there_is_handed_back(visitor: Visitor) -> None:
    answer = visitor.post("/work/say", {"talk": "none", "text": TYPED})
    assert answer.status_code == 404 and html.escape(TYPED) in answer.text


def test_a_stale_page_begins_no_red_team_work(store: Database) -> None:
    """Somebody asked for everyday work, opened the page, and took the wish back in another window."""
    visitor = Visitor(store, room_with(store, policy="red-team"))
    with visitor.client:
        visitor.enter()
        visitor.send("/work/everyday")
        stale = form_of(visitor, "/work/start")
        assert stale.hidden == {"shown": "helpful"}
        visitor.send("/work/everyday")
        answer = visitor.post(stale.action, stale.hidden)
        assert answer.status_code == 409 and "nothing has begun yet" in answer.text
        assert "This is red-team work" in answer.text and current_talk(store, visitor.worker.id) is None
        assert visitor.post("/work/start", {}).status_code == 409, "a page that says nothing has warned of nothing"
        assert visitor.send("/work/start").status_code == 200
        talk = current_talk(store, visitor.worker.id)
        assert talk is not None and talk.objective is Objective.HARMLESS


def pair(db: Database) -> Draw:
    first, second = (found.snapshot.id for found in active_deployments(db))
    return Draw((first, second), (0, 1), False)


def test_a_message_and_a_change_of_mind_at_once(database: Database) -> None:
    """Whichever comes first, no message answers a reply that its writer did not see."""
    deploy_two(database)
    room = room_with(database, helpful_turns=3)
    for number in range(8):
        visitor = Visitor(database, room, f"visitor {number}")
        with visitor.client:
            visitor.start()
            comparison = a_turn(visitor)
            seen = form_of(visitor, "/work/say", "text").hidden
            _race(database, talk_id(visitor), comparison, Answers(seen["turn"], seen["seen"]))


def _race(db: Database, talk: str, comparison: str, said: Answers) -> None:
    both, refused, drawn = threading.Barrier(2), list[str](), pair(db)

    def write() -> None:
        both.wait()
        try:
            say(db, talk, "to reply one", "mine", drawn, said)
        except Elsewhere:
            refused.append("message")

    thread = threading.Thread(target=write)
    thread.start()
    both.wait()
    try:
        choose(db, comparison, 8, "second", 1)
    except UserError as error:
        assert "gone on" in str(error)
        refused.append("choice")
    thread.join()
    assert len(refused) == 1
    spoken = [turn.text for turn in view(db, talk).conversation.turns]
    assert ("to reply one" in spoken) == (refused == ["choice"])


def test_what_was_seen_is_checked_where_it_is_written(visitor: Visitor) -> None:
    comparison = a_turn(visitor)
    for said in (Answers("1", "1.0"), Answers("2", ""), Answers("2", "2.0"), Answers("", "")):
        with pytest.raises(Elsewhere):
            say(visitor.db, talk_id(visitor), "hello", "k", pair(visitor.db), said)
    edit(visitor.db, comparison, "better", "one", "1.0")
    with pytest.raises(Elsewhere):
        edit(visitor.db, comparison, "other", "two", "1.0")
    say(visitor.db, talk_id(visitor), "hello", "k", pair(visitor.db), Answers("2", "1.1"))


def test_the_consent_text_names_all_that_is_recorded() -> None:
    text = " ".join(built_in_consent().text.split())
    for thing in ("participant, study and session ids", "asked how you feel", "ratings and comments"):
        assert thing in text
    assert CollectConfig().consent == "", "the built-in text is the default"
