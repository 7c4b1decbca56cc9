"""What researchers see of the crew, and what they decide."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import STAFF_COOKIE
from concordant.programme_config import ReviewConfig
from concordant.store.database import Database
from concordant.store.people import Worker
from concordant.store.review_draws import Rule
from concordant.store.reviews import held, judge, take
from concordant.store.second_looks import Looker, give_opinion, held_look, take_look
from concordant.store.sittings import Offer, open_sitting
from concordant.store.standing import standings
from readings import NOON, Story, tell
from stories import base_model, person
from visitors import acts_but_sign_ins, fresh_store, room_with, signed_in_staff


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def client(store: Database) -> Iterator[TestClient]:
    with TestClient(create_app(room_with(store)), cookies={STAFF_COOKIE: signed_in_staff(store)[1]}) as found:
        yield found


def ann_of(db: Database, talks: int = 6) -> Worker:
    base, ann = base_model(db), person(db, "Ann")
    for hour in range(talks):
        tell(db, ann, base, Story(NOON + timedelta(hours=hour), seconds=(20.0,) * 10, buttons=(1,) * 10))
    return ann


def test_empty_pages_say_what_to_do_first(client: TestClient) -> None:
    assert "Send the worker's link" in client.get("/review/workers").text
    assert "second_opinions" in client.get("/review/agreement").text
    assert client.get("/review/workers/x").status_code == 404


def test_verdicts_suggest_and_a_person_decides(store: Database, client: TestClient) -> None:
    ann = ann_of(store)
    rule = Rule(ReviewConfig(), "0")
    for _ in range(5):
        take(store, "eve", rule)
        found = held(store, "eve")
        assert found is not None
        judge(store, "eve", found.talk_id, 1, "a pleasure")
    page = client.get("/review/workers").text
    assert page.count(f"/review/workers/{ann.id}") == 2, "in the crew, and among the suggestions"
    page = client.get(f"/review/workers/{ann.id}").text
    assert "a pleasure" in page and "share of clicks on the left side" in page
    assert '<span class="tag strong">changed</span>' in page, "60 clicks, all on the left"
    refused = client.post(f"/review/workers/{ann.id}/select", data={"on": "1", "reason": " "})
    assert refused.status_code == 409 and "needs a reason" in refused.text
    client.post(f"/review/workers/{ann.id}/select", data={"on": "1", "reason": "varied"})
    assert standings(store)[ann.id].select is not None
    page = client.get("/review/workers").text
    assert page.count(f"/review/workers/{ann.id}") == 1 and ">select</span>" in page
    client.post(f"/review/workers/{ann.id}/select", data={"reason": "has left"})
    assert standings(store) == {}
    assert "has left" in client.get(f"/review/workers/{ann.id}").text


def test_excluded_and_admitted_with_the_number_left_out_on_the_page(store: Database, client: TestClient) -> None:
    ann = ann_of(store)
    since = (NOON + timedelta(hours=5)).strftime("%Y-%m-%dT%H:%M")
    client.post(f"/review/workers/{ann.id}/exclude", data={"since": since, "reason": "another person since"})
    assert "10 of their choices are left out" in client.get("/review/workers").text
    client.post(f"/review/workers/{ann.id}/exclude", data={"since": "", "reason": "all along"})
    assert "60 of their choices are left out" in client.get("/review/workers").text
    assert "60 choices of excluded workers" in client.get("/researcher").text
    bad = client.post(f"/review/workers/{ann.id}/exclude", data={"since": "soon", "reason": "r"})
    assert bad.status_code == 409 and "is no day" in bad.text
    assert "Admit again" in client.get(f"/review/workers/{ann.id}").text
    client.post(f"/review/workers/{ann.id}/admit", data={"reason": "a mistake of ours"})
    assert "left out" not in client.get("/review/workers").text
    assert [act.act for act in acts_but_sign_ins(store)] == ["worker admitted", "worker excluded", "worker excluded"]


def test_agreement_stands_beside_the_papers(store: Database, client: TestClient) -> None:
    ann_of(store, 1)
    bob = person(store, "Bob")
    looker = Looker(bob.id, False, open_sitting(store, bob.id, Offer(5)).id)
    rule = Rule(ReviewConfig(second_opinions=1.0), "0")
    for place in range(10):
        take_look(store, looker, rule)
        look = held_look(store, looker)
        assert look is not None
        give_opinion(store, looker, look.comparison_id, 1 if (look.a == "reply 0") == (place < 8) else 8)
    page = client.get("/review/agreement").text
    assert "10 comparisons were judged by two of 2 workers" in page and "80 %" in page and "about 63 %" in page
