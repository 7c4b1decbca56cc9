from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from concordant.comparison import Objective, Tranche
from concordant.store.datasets import FrozenDataset, freeze
from concordant.store.imports import import_files
from concordant.store.journal import Journal
from concordant.store.preferences import Filter
from concordant.store.registry import SnapshotKind, add_snapshot, record_run
from desk_stories import Clock, Story, flat, rows_of, staff_client
from visitors import fresh_store, room_with


@pytest.fixture
def story(sqlite_template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Story]:
    with fresh_store(sqlite_template, tmp_path) as database, monkeypatch.context() as patch:
        yield Story(database, Clock(patch))


@pytest.fixture
def staff(story: Story, tmp_path: Path) -> Iterator[TestClient]:
    with staff_client(room_with(story.db, tmp_path)) as client:
        yield client


@pytest.fixture
def lineage(story: Story, tmp_path: Path) -> FrozenDataset:
    """A frozen data set, a run that learned from it, a model made by that, and the journal of it all."""
    frozen = freeze(story.db, "pilot", Filter(), tmp_path / "datasets")
    known = f"{frozen.name}@{frozen.digest[:12]}"
    record_run(
        story.db, "pm-1", "pm", "/runs/pm-1", {"dataset": known, "base": "base"}, {"accuracy": 0.6666, "n": 1200}
    )
    record_run(story.db, "policy-1", "policy", "/runs/policy-1", {"pm": "pm-1"}, {"before": {"score": -0.5}})
    add_snapshot(story.db, "policy-1", SnapshotKind.MODEL, {"folder": "x", "adapter": "y"}, run="policy-1")
    with Journal(story.db, 1) as journal:
        journal.step("freeze", {}, lambda: {"dataset": "pilot", "digest": frozen.digest, "comparisons": 4})
        journal.step("pm", {}, lambda: {"run": "pm-1", "accuracy": 0.6666})
    return frozen


def test_an_iteration_leads_to_its_runs_and_data(staff: TestClient, lineage: FrozenDataset, story: Story) -> None:
    html = flat(staff.get("/researcher/iterations").text)
    assert "Iteration 1" in html and "stopped; concordant iterate goes on with it" in html
    assert 'dataset <a href="/researcher/data#pilot">pilot</a>' in html and "comparisons <strong>4</strong>" in html
    assert 'run <a href="/researcher/runs/pm-1">pm-1</a>' in html and "accuracy <strong>0.6666</strong>" in html
    with Journal(story.db, 1) as journal:
        journal.step("report", {}, lambda: {})
        assert "running: process" in staff.get("/researcher/iterations").text
    done = staff.get("/researcher/iterations").text
    assert '<span class="tag strong">done</span>' in done
    runs = rows_of(staff.get("/researcher/iterations?csv=runs").text)
    assert [(row["run"], row["parents"]) for row in runs] == [
        ("policy-1", "pm: pm-1"),
        ("pm-1", f"dataset: pilot@{lineage.digest[:12]}; base: base"),
    ]


def test_a_run_walks_back_and_forth(staff: TestClient, lineage: FrozenDataset, story: Story) -> None:
    html = flat(staff.get("/researcher/runs/pm-1").text)
    assert f'dataset: <a href="/researcher/data#pilot">pilot@{lineage.digest[:12]}</a>' in html
    assert f'base: <a href="/researcher/models#{story.base.id}">base</a>' in html
    assert 'run <a href="/researcher/runs/policy-1">policy-1</a>' in html and "1,200" in html
    policy = flat(staff.get("/researcher/runs/policy-1").text)
    assert 'pm: <a href="/researcher/runs/pm-1">pm-1</a>' in policy and "before score" in policy
    assert "/researcher/conversations?model=policy-1" in policy
    assert staff.get("/researcher/runs/none").status_code == 404


def test_data_sets_and_files_with_their_counts(
    staff: TestClient, lineage: FrozenDataset, story: Story, tmp_path: Path
) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text(
        '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: good", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: bad"}\nno\n'
    )
    import_files(story.db, [path], Objective.HARMLESS, Tranche.BASE)
    html = flat(staff.get("/researcher/data").text)
    assert '<tr id="pilot">' in html and f'title="{lineage.digest}"' in html
    (row,) = rows_of(staff.get("/researcher/data?csv=sets").text)
    assert (row["taken"], row["kinds"], row["dropped"], row["used"], row["digest"]) == (
        *("4", "4 person", "2 weakest strength", "pm-1", lineage.digest),
    )
    (row,) = rows_of(staff.get("/researcher/data?csv=files").text)
    assert (row["file"], row["rows"], row["taken"], row["dropped"]) == ("file.jsonl", "2", "1", "1 not JSON")
    assert "<td>red team</td>" in html
