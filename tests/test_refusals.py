"""Refusals as a worker reads them: in the words of their language alone, and without what is none of their business."""

import html
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from concordant.collect import worker_routes
from concordant.collect.messages import Messages, english, messages
from concordant.errors import UserError
from concordant.store import database as database_module
from concordant.store import edits, sittings, talk_views, talks
from concordant.store.database import Database
from concordant.store.people import permit_edits
from concordant.store.registry import active_deployments, retire
from concordant.store.sittings import Offer, Outcome, Sitting, end_sitting, open_sitting
from desk_stories import staff_client
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all

TYPED = "4711 & <b>0815</b>"
FIELDS = re.compile(r"\{\w+\}")


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def other_words(folder: Path) -> Messages:
    """A language in which every text is its key in brackets, with its values."""
    texts = {key: f"‹{key}›{''.join(FIELDS.findall(english()(key)))}" for key in english().keys}
    texts |= {"page.lang": "xx", "page.dir": "ltr"}
    lines = [f'{key} = "{text}"' for key, text in texts.items() if not key[-1].isdigit()]
    for name in sorted({key.rpartition(".")[0] for key in texts if key[-1].isdigit()}):
        lines.append(f"{name} = {[texts[f'{name}.{n}'] for n, _ in enumerate(english().rows(name), start=1)]!r}")
    (folder / "xx.toml").write_text("\n".join(lines))
    return messages(folder / "xx.toml")


@pytest.fixture
def visitor(store: Database, tmp_path: Path) -> Iterator[Visitor]:
    found = Visitor(store, replace(room_with(store, helpful_turns=2), say=other_words(tmp_path)))
    with found.client:
        found.start()
        permit_edits(store, found.worker.id, True)
        yield found


def foreign_words(page: str) -> list[str]:
    """Words on a page that are not of the other language, nor anybody's own."""
    seen = re.sub(r"<[^>]*>|‹[^›]*›", " ", page.partition("<body")[2].partition(">")[2])
    return re.findall(r"[A-Za-z]{2,}", html.unescape(seen.replace(html.escape(TYPED), "")))


def message(visitor: Visitor) -> dict[str, str]:
    """The form for a message, with something typed."""
    form = visitor.page.form("/work/say", "text")
    assert form is not None
    return {**form.hidden, "text": TYPED}


def a_turn(visitor: Visitor) -> str:
    comparison = visitor.say("1")
    write_all(visitor.db, "2", "3")
    visitor.choose(1)
    return comparison


def before_choosing(visitor: Visitor) -> Any:
    said = message(visitor)
    visitor.say("1")
    return visitor.post("/work/say", said)


def one_too_many(visitor: Visitor) -> Any:
    said = message(visitor)
    a_turn(visitor)
    a_turn(visitor)
    return visitor.post("/work/say", {**said, "key": "x"})


def gone_on(visitor: Visitor) -> Any:
    said = message(visitor)
    a_turn(visitor)
    return visitor.post("/work/say", said)


def ended(visitor: Visitor) -> Any:
    said = message(visitor)
    visitor.post("/work/end", {"talk": said["talk"], "leave": "1"})
    return visitor.post("/work/say", said)


def no_model(visitor: Visitor) -> Any:
    said = message(visitor)
    for one in active_deployments(visitor.db):
        retire(visitor.db, one.id)
    return visitor.post("/work/say", said)


def choose(visitor: Visitor, comparison: str, key: str, instead: str = "") -> Any:
    button = "7" if key == "x" else "3"
    return visitor.post("/work/choose", {"comparison": comparison, "button": button, "key": key, "instead": instead})


def chosen_in_another_window(visitor: Visitor) -> Any:
    return choose(visitor, a_turn(visitor), "x")


def changed_in_another_window(visitor: Visitor) -> Any:
    comparison = a_turn(visitor)
    choose(visitor, comparison, "x", "1")
    return choose(visitor, comparison, "y", "1")


def changed_too_late(visitor: Visitor) -> Any:
    comparison = a_turn(visitor)
    visitor.say("4")
    return choose(visitor, comparison, "x", "1")


def chosen_too_early(visitor: Visitor) -> Any:
    return choose(visitor, visitor.say("1"), "x")


def rewrite(visitor: Visitor, comparison: str, text: str = TYPED) -> Any:
    return visitor.post("/work/edit", {"comparison": comparison, "text": text, "key": "e"})


def rewritten_as_it_was(visitor: Visitor) -> Any:
    comparison = a_turn(visitor)
    talk = talk_views.current_talk(visitor.db, visitor.worker.id)
    assert talk is not None
    return rewrite(visitor, comparison, talk.conversation.turns[-1].text)


def rewritten_too_late(visitor: Visitor) -> Any:
    comparison = a_turn(visitor)
    visitor.say("4")
    return rewrite(visitor, comparison)


def rewritten_before_choosing(visitor: Visitor) -> Any:
    comparison = visitor.say("1")
    write_all(visitor.db, "2", "3")
    return rewrite(visitor, comparison)


def rewritten_by_who_may_not(visitor: Visitor) -> Any:
    permit_edits(visitor.db, visitor.worker.id, False)
    return rewrite(visitor, a_turn(visitor))


def written_again_too_late(visitor: Visitor) -> Any:
    talk = message(visitor)["talk"]
    comparison = visitor.say("1")
    visitor.post("/work/end", {"talk": talk, "leave": "1"})
    return visitor.post("/work/retry", {"comparison": comparison})


def session_ended(visitor: Visitor) -> Any:
    """In another window, between two steps of beginning the next conversation."""

    def meanwhile(db: Database, worker_id: str, offer: Offer) -> Sitting:
        return end_sitting(db, open_sitting(db, worker_id, offer).id, Outcome.LEFT)

    visitor.post("/work/end", {"talk": message(visitor)["talk"], "leave": "1"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_routes, "open_sitting", meanwhile)
        return visitor.post("/work/start", {"shown": "helpful"})


@pytest.mark.parametrize(
    ("act", "key"),
    [
        (before_choosing, "refused.choose_first"),
        (one_too_many, "refused.complete"),
        (gone_on, "problem.elsewhere"),
        (ended, "problem.ended"),
        (no_model, "refused.no_model"),
        (chosen_in_another_window, "refused.chosen_first"),
        (changed_in_another_window, "refused.chosen_last"),
        (changed_too_late, "refused.choice_gone_on"),
        (chosen_too_early, "refused.not_complete"),
        (lambda visitor: rewrite(visitor, a_turn(visitor), " "), "refused.edit_empty"),
        (rewritten_as_it_was, "refused.edit_same"),
        (rewritten_too_late, "refused.edit_gone_on"),
        (rewritten_before_choosing, "refused.edit_choose_first"),
        (rewritten_by_who_may_not, "refused.edit_not_here"),
        (written_again_too_late, "refused.ended_writing"),
        (session_ended, "refused.session_ended"),
    ],
)
def test_what_another_window_makes_impossible_is_said_in_the_workers_language(
    visitor: Visitor, act: Callable[[Visitor], Any], key: str
) -> None:
    answer = act(visitor)
    assert answer.status_code == 409 and f"‹{key}›" in answer.text
    assert foreign_words(answer.text) == []


def test_what_is_not_meant_for_workers_is_not_shown_to_them(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise UserError("the folder /srv/lab is not what it was; put it back")

    again, said = {"comparison": a_turn(visitor)}, message(visitor)
    monkeypatch.setattr(talks, "retry", refuse)
    monkeypatch.setattr(talks, "say", refuse)
    for answer in (visitor.post("/work/retry", again), visitor.post("/work/say", said)):
        assert answer.status_code == 409 and "‹problem.refused›" in answer.text and "/srv" not in answer.text
        assert foreign_words(answer.text) == []


def test_no_refusal_of_a_workers_act_is_for_the_command_line_alone() -> None:
    """What is left are ids and numbers that no page of ours sends, which are 404 or 422 before they come so far."""
    found = []
    for module in (talks, edits, sittings):
        assert module.__file__ is not None
        found += re.findall(r"UserError\(\s*f?[\"']([^\"']*)", Path(module.__file__).read_text())
    known = ("there is no ", "button ", "a conversation of {turns} turns", "you have a conversation open already")
    assert found and [text for text in found if not text.startswith(known)] == []


def test_while_another_program_writes_a_worker_is_asked_to_wait(
    sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_BUSY_MILLISECONDS", 50)
    with fresh_store(sqlite_template, tmp_path) as store:
        deploy_two(store)
        visitor = Visitor(store, replace(room_with(store, helpful_turns=2), say=other_words(tmp_path)))
        with visitor.client, staff_client(visitor.room) as staff:
            visitor.start()
            permit_edits(store, visitor.worker.id, True)
            comparison = a_turn(visitor)
            said = message(visitor)
            forms: list[tuple[str, dict[str, str]]] = [
                ("/work/say", said),
                ("/work/edit", {"comparison": comparison, "text": TYPED}),
                ("/work/end", {"talk": said["talk"], "comment": TYPED}),
                ("/work/messages", {"text": TYPED}),
                ("/work/choose", {"comparison": comparison, "button": "7", "instead": "1"}),
                ("/work/stop", {}),
            ]
            other = sqlite3.connect(tmp_path / "store.sqlite", isolation_level=None)
            other.execute("BEGIN IMMEDIATE")
            for action, fields in forms:
                answer = visitor.post(action, fields)
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5"), action
                assert "‹notice.wait›" in answer.text and foreign_words(answer.text) == [], action
                assert (html.escape(TYPED) in answer.text) == (TYPED in fields.values()), action
            assert visitor.client.get("/work").status_code == 200, "who only reads is not held up"
            for action in ("/researcher/announcements", "/researcher/messages/none"):
                answer = staff.post(action, data={"text": "hello"})
                assert answer.status_code == 503 and str(tmp_path) not in answer.text
            other.close()
            assert visitor.post("/work/say", said).status_code == 200, "nothing was saved, so it can be sent again"
