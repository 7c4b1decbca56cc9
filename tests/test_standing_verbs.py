import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.audit import COMMAND_LINE, acts
from concordant.store.database import Database
from concordant.store.standing import standings
from readings import NOON, Story, tell
from stories import base_model, person


def test_selected_excluded_admitted_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    database = Database.open(programme.store_url)
    base, ann, bob = base_model(database), person(database, "Ann"), person(database, "Bob")
    tell(database, ann, base, Story(NOON))
    tell(database, bob, base, Story(NOON))

    def run(*words: str) -> dict[str, object]:
        assert main([*words, "--dir", str(programme.path), "--json"]) == 0
        found: dict[str, object] = json.loads(capsys.readouterr().out)
        return found

    assert run("worker", "select", ann.id, "--reason", "varied") == {"worker": ann.id, "select": True}
    assert run("data", "freeze", "a")["taken"] == 2
    assert run("data", "freeze", "b", "--workers", "select")["taken"] == 1
    since = "2026-03-02T12:00"
    said = run("worker", "exclude", bob.id, "--reason", "nonsense", "--since", since)
    assert said == {"worker": bob.id, "excluded": True, "since": f"{since}:00+00:00", "left_out": 1}
    frozen = run("data", "freeze", "c")
    assert (frozen["taken"], frozen["dropped"]) == (1, {"of an excluded worker": 1})
    assert run("data", "freeze", "d", "--workers", "all")["taken"] == 2
    assert run("worker", "admit", bob.id, "--reason", "a mistake")["left_out"] == 0
    assert run("worker", "select", ann.id, "--off", "--reason", "has left") == {"worker": ann.id, "select": False}
    assert standings(database) == {}
    assert {act.staff_id for act in acts(database, 9)} == {COMMAND_LINE} and len(acts(database, 9)) == 4
    assert main(["worker", "admit", bob.id, "--reason", "again", "--dir", str(programme.path)]) == 2
    assert "is not excluded" in capsys.readouterr().err
    database.close()
