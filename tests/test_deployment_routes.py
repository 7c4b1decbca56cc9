"""The page of deployments: what it shows, what its switches do, and that each act is in the audit log."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.room import Room
from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.registry import State, active_deployments, deploy, standing_deployments
from concordant.store.reply_queue import claim, fail
from concordant.store.staff import staff_names
from stories import ask, draw, person, play
from visitors import Visitor, acts_but_sign_ins, deploy_two, fresh_store, room_with, sign_in_staff

PAGE = "/researcher/deployments"


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        yield database


@pytest.fixture
def room(store: Database) -> Room:
    return room_with(store, cross_model_share=0.5)


@pytest.fixture
def staff(room: Room) -> Iterator[TestClient]:
    with TestClient(create_app(room)) as client:
        sign_in_staff(client, room.db)
        yield client


def seen(client: TestClient) -> str:
    return re.sub(r"\s+", " ", client.get(PAGE).text)


def test_nobody_else_sees_or_does_anything(store: Database, room: Room) -> None:
    deploy_two(store)
    (one, _) = active_deployments(store)
    visitor = Visitor(store, room)
    with visitor.client:
        visitor.enter()
        assert visitor.client.get(PAGE).status_code == 403
        for act in ("weight", "live", "drain", "stop", "retire"):
            assert visitor.client.post(f"{PAGE}/{one.id}/{act}", data={"weight": "2"}).status_code == 403
        assert visitor.client.post(f"{PAGE}/add", data={"snapshot": one.snapshot.id, "weight": "2"}).status_code == 403
    assert {deployment.state for deployment in standing_deployments(store)} == {State.LIVE}


def test_an_empty_page_says_what_to_do(staff: TestClient) -> None:
    html = seen(staff)
    assert "Nothing is deployed" in html and "<code>concordant serve</code>" in html and "No snapshots yet" in html


def test_the_figures(staff: TestClient, store: Database) -> None:
    base, policy = deploy_two(store)
    deploy(store, policy.id, 3.0, Objective.HARMLESS)
    play(store, person(store, "a"), draw(base, policy), [1, 8])
    ask(store, person(store, "b"), draw(policy))
    (job, *_) = claim(store, "w", 10, 60.0)
    fail(store, "w", job.reply_id, "kind", "EndpointFailed: <b>status 500</b>")
    html = seen(staff)
    assert "label-of-base" in html and "label-of-policy" in html and "n = 2" in html
    assert "EndpointFailed: &lt;b&gt;status 500&lt;/b&gt;" in html
    # helpful: weights 1 and 1, so a half each; red team: 1 and 4. (0.2 + 0.5·0.2 + 0.5·0.8) / 2 = 0.35.
    assert html.count('<td class="n">50 %</td>') == 2
    assert '<td class="n">35 %</td>' in html and '<td class="n">65 %</td>' in html


def test_the_switches(staff: TestClient, store: Database) -> None:
    base, policy = deploy_two(store)
    (one, two) = active_deployments(store)
    talk, _ = ask(store, person(store), draw(policy))

    def press(deployment: str, act: str, **fields: str) -> str:
        answer = staff.post(f"{PAGE}/{deployment}/{act}", data=fields)
        assert answer.status_code == 200 and str(answer.url).endswith(f"?done={act}"), answer.text
        return re.sub(r"\s+", " ", answer.text)

    assert "The weight is set." in press(one.id, "weight", weight="2,5")
    assert [deployment.weight for deployment in active_deployments(store)] == [1.0, 2.5]
    assert "draining" in press(two.id, "drain")
    assert "Make live" in press(two.id, "stop")
    assert "stopped</span>" in seen(staff)
    assert {job.snapshot_id for job in claim(store, "w", 10, 60.0)} == {base.id}
    press(two.id, "live")
    assert {deployment.state for deployment in standing_deployments(store)} == {State.LIVE}
    press(active_deployments(store)[-1].id, "retire")
    assert [deployment.snapshot.id for deployment in standing_deployments(store)] == [base.id]
    assert talk and [(act.act, staff_names(store)[act.staff_id]) for act in acts_but_sign_ins(store)[:5]] == [
        ("deployment retired", "Ann"),
        ("deployment changed", "Ann"),
        ("deployment stopped", "Ann"),
        ("deployment drained", "Ann"),
        ("deployment changed", "Ann"),
    ]
    html = seen(staff)
    assert "weight 1 → 2.5" in html and "2 waiting replies to others, 0 failed" in html and "was stopped" in html


def test_adding_a_snapshot(staff: TestClient, store: Database) -> None:
    base, _ = deploy_two(store)
    fields = {"snapshot": base.id, "weight": "2", "objective": "harmless"}
    assert "It is live." in staff.post(f"{PAGE}/add", data=fields).text
    assert [(one.weight, one.objective) for one in active_deployments(store)][-1] == (2.0, Objective.HARMLESS)


@pytest.mark.parametrize(
    ("path", "fields", "said"),
    [
        ("add", {"snapshot": "none", "weight": "1"}, "There is no snapshot &#39;none&#39;."),
        ("add", {"snapshot": "label-of-base", "weight": "much"}, "The weight &#39;much&#39; is no number."),
        ("add", {"snapshot": "label-of-base", "weight": "0"}, "must be above 0"),
        ("add", {"snapshot": "label-of-base", "weight": "inf"}, "must be above 0"),
        ("add", {"snapshot": "label-of-base", "weight": "1", "objective": "odd"}, "no work called"),
        ("none/drain", {}, "changed or retired meanwhile"),
        ("ONE/explode", {}, "nothing that can be done"),
        ("ONE/weight", {"weight": ""}, "is no number"),
    ],
)
def test_what_cannot_be_done_is_said_over_the_list(
    staff: TestClient, store: Database, path: str, fields: dict[str, str], said: str
) -> None:
    deploy_two(store)
    before = active_deployments(store)
    answer = staff.post(f"{PAGE}/{path.replace('ONE', before[0].id)}", data=fields)
    assert answer.status_code == 409 and said in answer.text and "label-of-base" in answer.text
    assert active_deployments(store) == before
