"""Between two conversations: second opinions of others' comparisons, or that there is no more work."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.programme_config import CareConfig, CollectConfig, ReviewConfig
from concordant.store.database import Database
from concordant.store.registry import Snapshot
from concordant.store.second_looks import pairs
from concordant.store.sittings import last_sitting
from concordant.store.standing import admit, exclude
from readings import Story, tell
from stories import person
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


def room_for(db: Database, **collect: object) -> Room:
    review = ReviewConfig(second_opinions=1.0, opinions_at_once=2)
    return Room(db, CollectConfig.model_validate({"helpful_turns": 1, **collect}), CareConfig(), review=review)


@pytest.fixture
def models(store: Database) -> tuple[Snapshot, Snapshot]:
    return deploy_two(store)


def one_conversation(visitor: Visitor) -> None:
    visitor.say()
    write_all(visitor.db, "yes", "no")
    visitor.choose(2)
    assert visitor.send("/work/end").status_code == 200


def test_after_a_conversation_come_comparisons_of_others_and_then_the_next(
    store: Database, models: tuple[Snapshot, Snapshot]
) -> None:
    ann = person(store, "Ann")
    tell(store, ann, models[0], Story(seconds=(5.0,) * 3, buttons=(1,) * 3, text="of another"))
    visitor = Visitor(store, room_for(store))
    with visitor.client:
        visitor.enter()
        assert visitor.page.form("/work/start") is not None, "nothing before the first conversation"
        visitor.start()
        one_conversation(visitor)
        assert "Second opinions" in visitor.client.get("/work").text
        visitor.send("/work/look/next")
        page = visitor.client.get("/work").text
        assert "of another 1" in page and "label-of" not in page and "Ann" not in page
        assert visitor.send("/work/look", "button").status_code == 422, "nothing is pre-selected"
        visitor.send("/work/look", "button", button="8")
        assert "of another 2" in visitor.client.get("/work").text
        form = visitor.page.form("/work/look", "button")
        assert form is not None
        for _ in range(2):  # a double click
            visitor.post("/work/look", {**form.hidden, "button": "1"})
        assert visitor.page.form("/work/start") is not None, "two at once are enough"
        assert len(pairs(store)) == 2
        sitting = last_sitting(store, visitor.worker.id)
        assert sitting is not None and (sitting.done, sitting.choices) == (1, 1), "they are no conversations"
        visitor.start()
        one_conversation(visitor)
        visitor.send("/work/look/next")
        (unsure,) = [form for form in visitor.page.forms if "unsure" in form.hidden]
        visitor.post(unsure.action, unsure.hidden)
        assert visitor.page.form("/work/start") is not None and len(pairs(store)) == 2


def test_without_a_share_nobody_is_asked(store: Database, models: tuple[Snapshot, Snapshot]) -> None:
    tell(store, person(store, "Ann"), models[0], Story())
    visitor = Visitor(store, room_with(store, helpful_turns=1))
    with visitor.client:
        visitor.start()
        one_conversation(visitor)
        assert visitor.page.form("/work/start") is not None
        assert visitor.post("/work/look/next", {}).status_code == 200
        assert visitor.post("/work/look", {"comparison": "x", "button": "1"}).status_code == 409
        assert pairs(store) == []


def test_red_team_comparisons_only_in_a_session_with_such_work(
    store: Database, models: tuple[Snapshot, Snapshot]
) -> None:
    dark = Story(objective=Objective.HARMLESS, text="dark")
    tell(store, person(store, "Ann"), models[0], dark)
    helpful = Visitor(store, room_for(store))
    with helpful.client:
        helpful.start()
        one_conversation(helpful)
        assert helpful.page.form("/work/start") is not None
    red = Visitor(store, room_for(store, policy="red-team", red_team_turns=1))
    with red.client:
        red.start()
        one_conversation(red)
        red.send("/work/look/next")
        page = red.client.get("/work").text
        assert "dark 1" in page and 'data-work="harmless"' in page and "veiled" in page
        red.send("/work/everyday")
        page = red.client.get("/work").text
        assert "dark 1" not in page and 'data-work="harmless"' not in page, "who asks for everyday work sees none of it"


def test_red_team_comparisons_of_others_are_blurred_whole_and_judged_only_when_shown(
    store: Database, models: tuple[Snapshot, Snapshot]
) -> None:
    dark = Story(objective=Objective.HARMLESS, text="dark", seconds=(5.0, 5.0), buttons=(1, 1))
    tell(store, person(store, "Ann"), models[0], dark)
    visitor = Visitor(store, room_for(store, policy="red-team", red_team_turns=1))
    with visitor.client:
        visitor.start()
        one_conversation(visitor)
        visitor.send("/work/look/next")
        for _ in range(2):  # the first has no turn before it, the second has one
            refused = visitor.send("/work/look", "button", button="3")
            assert refused.status_code == 422 and "still blurred" in refused.text
            page = visitor.client.get("/work").text
            assert page.count('class="turn assistant veiled"') == page.count('class="turn assistant')
            visitor.send("/work/look", "button", button="3", unveiled="1")
        assert len(pairs(store)) == 2 and "turn assistant veiled" in page


def test_an_answer_after_the_end_is_said_not_to_count(store: Database, models: tuple[Snapshot, Snapshot]) -> None:
    tell(store, person(store, "Ann"), models[0], Story())
    visitor = Visitor(store, room_for(store))
    with visitor.client:
        visitor.start()
        one_conversation(visitor)
        visitor.send("/work/look/next")
        form = visitor.page.form("/work/look", "button")
        assert form is not None
        visitor.send("/work/stop")  # in another window
        answer = visitor.post("/work/look", {**form.hidden, "button": "1"})
        assert answer.status_code == 409 and "Your answer was not taken" in answer.text
        assert pairs(store) == []


def test_who_opts_out_of_a_topic_is_not_asked_about_it(store: Database, models: tuple[Snapshot, Snapshot]) -> None:
    ann = person(store, "Ann")
    tell(store, ann, models[0], Story(objective=Objective.HARMLESS, text="murder"))
    red = Visitor(store, room_for(store, policy="red-team", red_team_turns=1))
    with red.client:
        red.start()
        one_conversation(red)
        red.send("/work/look/next")
        assert "murder 1" in red.client.get("/work").text
        after = red.send("/work/topics", "topic", topic="violence").text
        assert "murder" not in after and red.page.form("/work/look") is None
        assert red.page.form("/work/start") is not None, "there is none left to ask about"
        red.post("/work/look/next", {})
        assert "murder" not in red.client.get("/work").text
        tell(store, ann, models[0], Story(objective=Objective.HARMLESS, text="lies"))
        red.send("/work/look/next")
        assert "lies 1" in red.client.get("/work").text


def test_the_excluded_are_told_kindly_may_finish_and_begin_nothing(
    store: Database, models: tuple[Snapshot, Snapshot]
) -> None:
    visitor = Visitor(store, room_for(store))
    with visitor.client:
        visitor.start()
        exclude(store, "s", visitor.worker.id, "nonsense")
        one_conversation(visitor)
        page = visitor.client.get("/work").text
        assert "There is no more work for you now" in page and "nonsense" not in page
        visitor.post("/work/start", {})
        assert "There is no more work for you now" in visitor.client.get("/work").text
        visitor.send("/work/stop")
        assert "no more work" not in visitor.client.get("/work").text, "the end of a session is shown as ever"
        visitor.post("/work/again", {})
        assert "There is no more work for you now" in visitor.client.get("/work").text
        admit(store, "s", visitor.worker.id, "a mistake")
        assert visitor.page.form("/work/start") is not None
