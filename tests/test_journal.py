"""The journal: finished steps are not made again, a killed iteration goes on, and two processes never share one."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from concordant.errors import UserError
from concordant.store import journal as journal_module
from concordant.store.database import Database
from concordant.store.journal import Journal, finished_steps, iterations, last_iteration
from concordant.store.tables import Json, LeaseRow, StepRow, utc_now


def gives(outputs: Json, calls: list[str] | None = None) -> Callable[[], Json]:
    """A step that returns ``outputs``."""

    def make() -> Json:
        if calls is not None:
            calls.append("made")
        return outputs

    return make


def never() -> Json:
    raise AssertionError("this step was finished before")


def test_a_finished_step_is_not_made_again(database: Database) -> None:
    calls: list[str] = []
    for _ in range(2):
        with Journal(database, 1) as journal:
            assert journal.step("freeze", {"filter": ("a", "b")}, gives({"digest": "x", "n": (1, 2)}, calls)) == {
                "digest": "x",
                "n": [1, 2],
            }
    assert calls == ["made"]
    assert finished_steps(database, 1) == {"freeze": {"digest": "x", "n": [1, 2]}}


def test_other_inputs_are_refused(database: Database) -> None:
    with Journal(database, 1) as journal:
        journal.step("pm", {"data": "x", "lr": 0.1}, gives({}))
        with pytest.raises(UserError, match=r"step 'pm' was finished with other inputs \(lr was 0.1, now 0.2\)"):
            journal.step("pm", {"data": "x", "lr": 0.2}, never)
        with pytest.raises(UserError, match="seed was None, now 1"):
            journal.step("pm", {"data": "x", "lr": 0.1, "seed": 1}, never)
    with Journal(database, 2) as journal:
        journal.step("pm", {"data": "x", "lr": 0.2}, gives({}))


def test_a_step_that_failed_is_made_again_even_with_other_inputs(database: Database) -> None:
    def fails() -> Json:
        raise RuntimeError

    with Journal(database, 1) as journal:
        with pytest.raises(RuntimeError):
            journal.step("pm", {"lr": 0.1}, fails)
        assert journal.finished() == {}
        assert journal.step("pm", {"lr": 0.2}, gives({"run": "b"})) == {"run": "b"}
    with database.read() as session:
        row = session.get_one(StepRow, (1, "pm"))
        assert (row.inputs, row.starts) == ({"lr": 0.2}, 2)


def test_steps_are_told_in_order_and_iterations_apart(database: Database) -> None:
    assert last_iteration(database) == 0
    with Journal(database, 3) as journal:
        for name in ("z", "a", "m"):
            journal.step(name, {}, gives({"of": name}))
        assert list(journal.finished()) == ["z", "a", "m"]
    with Journal(database, 2) as journal:
        assert journal.finished() == {}
        journal.step("z", {}, gives({"of": "another"}))
    assert last_iteration(database) == 3
    assert finished_steps(database, 3)["z"] == {"of": "z"}


def test_outputs_must_be_json(database: Database) -> None:
    with Journal(database, 1) as journal:
        with pytest.raises(ValueError, match="not JSON compliant"):
            journal.step("pm", {}, gives({"loss": float("nan")}))
        assert journal.finished() == {}


def test_one_journal_at_a_time(database: Database) -> None:
    with Journal(database, 1) as first:
        first.step("a", {}, gives({}))
        with Journal(database, 1) as second, pytest.raises(UserError, match=f"worked on by process {os.getpid()}"):
            second.step("b", {}, never)
        assert second.finished() == {"a": {}}, "looking needs no lease"
        with Journal(database, 2) as other:
            other.step("a", {}, gives({}))
        first.step("b", {}, gives({}))
    with Journal(database, 1) as third:
        third.step("c", {}, gives({}))


def age_lease(database: Database, **columns: object) -> None:
    with database.write() as session:
        lease = session.get_one(LeaseRow, 1)
        lease.heartbeat = utc_now() - timedelta(seconds=journal_module.LEASE_SECONDS + 1)
        for name, value in columns.items():
            setattr(lease, name, value)


def test_a_holder_without_a_heartbeat_loses_the_iteration(database: Database) -> None:
    sleeper = Journal(database, 1)
    sleeper.step("a", {}, gives({}))
    age_lease(database, host="another machine")
    with Journal(database, 1) as heir:
        heir.step("b", {}, gives({}))
        with pytest.raises(UserError, match="taken over"):
            sleeper.step("c", {}, never)
        sleeper.close()
        heir.step("c", {}, gives({}))
    assert list(finished_steps(database, 1)) == ["a", "b", "c"]


def test_a_holder_who_lost_it_meanwhile_finishes_nothing(database: Database) -> None:
    with Journal(database, 1) as sleeper:

        def sleeps_too_long() -> Json:
            age_lease(database, host="another machine")
            with Journal(database, 1) as heir:
                heir.step("other", {}, gives({}))
            return {"too": "late"}

        with pytest.raises(UserError, match="taken over"):
            sleeper.step("a", {}, sleeps_too_long)
    assert finished_steps(database, 1) == {"other": {}}


def test_a_long_step_keeps_its_lease_alive(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "HEARTBEAT_SECONDS", 0.02)

    def slow() -> Json:
        age_lease(database)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            with database.read() as session:
                if utc_now() - session.get_one(LeaseRow, 1).heartbeat < timedelta(seconds=10):
                    return {"beaten": True}
            time.sleep(0.02)
        return {"beaten": False}

    with Journal(database, 1) as journal:
        assert journal.step("slow", {}, slow) == {"beaten": True}


KILLED = """
import sys, time
from concordant.store.database import Database
from concordant.store.journal import Journal

def hang():
    print("in the second step", flush=True)
    time.sleep(600)

journal = Journal(Database.open(sys.argv[1]), 1)
journal.step("first", {"n": 1}, lambda: {"from": "the killed process"})
journal.step("second", {"n": 2}, hang)
"""


def test_a_killed_iteration_goes_on_after_its_last_finished_step(
    database: Database, store_url: str, tmp_path: Path
) -> None:
    script = tmp_path / "killed.py"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, script, store_url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "in the second step\n"
        with Journal(database, 1) as early, pytest.raises(UserError, match=f"process {process.pid}"):
            early.step("first", {"n": 1}, never)
        process.send_signal(signal.SIGKILL)
    with Journal(database, 1) as journal:
        assert journal.finished() == {"first": {"from": "the killed process"}}
        assert journal.step("first", {"n": 1}, never) == {"from": "the killed process"}
        assert journal.step("second", {"n": 2}, gives({"from": "us"})) == {"from": "us"}
    assert list(finished_steps(database, 1)) == ["first", "second"]


def test_iterations_as_they_stand(database: Database) -> None:
    assert iterations(database) == []
    with Journal(database, 1) as journal:
        journal.step("collect", {"n": 2}, lambda: {"choices": 8})
    with Journal(database, 2) as journal:
        with pytest.raises(RuntimeError):
            journal.step("collect", {"n": 3}, _fails)
        second, first = iterations(database)
        assert second.held_by.startswith("process ") and first.held_by == ""
    second, first = iterations(database)
    assert (second.number, second.held_by, first.number) == (2, "", 1)
    (step,) = first.steps
    assert (step.name, step.inputs, step.outputs, step.starts) == ("collect", {"n": 2}, {"choices": 8}, 1)
    assert step.finished is not None and step.finished >= step.started
    assert (second.steps[0].outputs, second.steps[0].finished) == (None, None)


def _fails() -> dict[str, object]:
    raise RuntimeError("killed")
