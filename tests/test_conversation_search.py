from datetime import date
from typing import Any

import pytest

from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.conversation_search import Query, Sort, State, find, find_all, neighbours, words_of
from concordant.store.database import Database
from concordant.store.edits import edit
from concordant.store.people import WorkerKind, permit_edits
from concordant.store.talks import Ending, choose, end_talk
from desk_stories import Clock, Story
from stories import ask, draw, write_replies


@pytest.fixture
def story(database: Database, monkeypatch: pytest.MonkeyPatch) -> Story:
    return Story(database, Clock(monkeypatch))


def found(story: Story, **query: Any) -> list[int]:
    """Which of the story's talks, in the order found."""
    return [story.talks.index(talk.id) for talk in find(story.db, Query(**query), 50).talks]


def test_words(story: Story) -> None:
    searches = {
        "": [3, 2, 1, 0],
        "bread": [0],
        "BREAD": [0],
        "rea": [0],
        "bread bake": [0],
        "bread unkind": [],
        '"to be unkind"': [1],
        '"unkind be"': [],
        "answer": [3, 2, 1, 0],  # in the replies
        "policy": [3, 1, 0],  # taken or not
        "turn policy": [0],  # one word in a message, the other in a reply
        "ägypten": [2],
        "Ägypten": [2],
        "%": [3],
        "_": [3],
        "100%_sure": [3],
        "\\": [],
    }
    assert {words: found(story, words=words) for words in searches} == searches


def test_words_are_cut_at_spaces_and_kept_in_quotes() -> None:
    assert words_of(' one  "two three" fo"ur ') == ["one", "two three", "fo", "ur"]
    assert words_of('""') == []


def test_filters(story: Story) -> None:
    queries: list[tuple[dict[str, Any], list[int]]] = [
        ({"objective": Objective.HARMLESS}, [1]),
        ({"study": "pilot"}, [0]),
        ({"study": ""}, [3, 2, 1]),
        ({"model": "policy"}, [3, 1, 0]),
        ({"worker": story.ann.id}, [2, 0]),
        ({"kind": WorkerKind.SCRIPTED}, [3]),
        ({"first": date(2026, 3, 2)}, [3, 2]),
        ({"last": date(2026, 3, 1)}, [1, 0]),
        ({"chosen": date(2026, 3, 2)}, [3, 2]),
        ({"state": State.DONE}, [3, 2, 1, 0]),
        ({"state": State.OPEN}, []),
        ({"strength": 4}, [1, 0]),
        ({"strength": 1}, [3, 0]),
        ({"strength": 3}, [2]),
        ({"rating": 3}, [3, 0]),
        ({"edited": True}, []),
        ({"edited": False, "rating": 5}, [2]),
        ({"model": "policy", "strength": 4, "words": "unkind"}, [1]),
    ]
    for query, talks in queries:
        assert found(story, **query) == talks, query
    with pytest.raises(UserError, match="there is no model 'none'"):
        found(story, model="none")


def test_open_left_edited_and_changed_ones(story: Story) -> None:
    permit_edits(story.db, story.ann.id, True)
    talk, comparison = ask(story.db, story.ann, draw(story.base, story.policy), text="Something new")
    story.talks.append(talk)
    assert found(story, state=State.OPEN) == [4]
    write_replies(story.db)
    choose(story.db, comparison, 1, "one")
    choose(story.db, comparison, 3, "two", instead_of=1)
    assert found(story, strength=2) == [4] and found(story, strength=4) == [1, 0], "the superseded one counts no more"
    edit(story.db, comparison, "A rewritten reply", "edit")
    assert found(story, edited=True) == found(story, words="rewritten") == [4]
    end_talk(story.db, talk, Ending())
    assert found(story, state=State.LEFT) == [4] and found(story, state=State.OPEN) == []
    assert found(story, sort=Sort.BEST) == [2, 1, 3, 0], "it has no rating"


def test_orders_and_pages(story: Story) -> None:
    orders = {Sort.NEWEST: [3, 2, 1, 0], Sort.OLDEST: [0, 1, 2, 3], Sort.BEST: [2, 1, 3, 0], Sort.WORST: [0, 3, 1, 2]}
    for sort, order in orders.items():
        assert found(story, sort=sort) == order
        query = Query(sort=sort)
        names = [story.talks[index] for index in order]
        first = find(story.db, query, 2)
        assert [talk.id for talk in first.talks] == names[:2] and (first.before, first.after) == (False, True)
        second = find(story.db, query, 2, after=names[1])
        assert [talk.id for talk in second.talks] == names[2:] and (second.before, second.after) == (True, False)
        back = find(story.db, query, 2, before=names[2])
        assert [talk.id for talk in back.talks] == names[:2] and (back.before, back.after) == (False, True)
        assert find(story.db, query, 1, before=names[2]).before
        assert neighbours(story.db, query, names[1]) == (names[0], names[2])
        assert neighbours(story.db, query, names[3]) == (names[2], "")
    with pytest.raises(UserError, match="there is no conversation 'gone'"):
        find(story.db, Query(), 2, after="gone")


def test_all_of_them_come_one_by_one(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concordant.store.conversation_search._AT_ONCE", 2)
    everything = list(find_all(story.db, Query()))
    assert [talk.id for talk in everything] == story.talks[::-1]
    assert everything[-1].models == ("base", "policy") and everything[1].models == ("base",)
    assert [talk.id for talk in find_all(story.db, Query(words="bread"))] == [story.talks[0]]
