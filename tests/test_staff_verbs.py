"""``concordant staff`` as typed."""

import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.staff_links import Purpose, open_link


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Programme.init(tmp_path / "p").path


def run(capsys: pytest.CaptureFixture[str], folder: Path, *words: str) -> tuple[int, str]:
    status = main(["staff", *words, "--dir", str(folder)])
    said = capsys.readouterr()
    return status, said.out if status == 0 else said.err


def test_an_account_from_its_invitation_to_its_end(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no accounts yet" in run(capsys, folder, "list")[1]
    status, said = run(capsys, folder, "add", "Ann@x.example", "--name", "Ann", "--role", "researcher", "--json")
    found = json.loads(said)
    assert status == 0 and (found["login"], found["role"]) == ("ann@x.example", "researcher")
    assert found["link"].startswith("http://127.0.0.1:8765/staff/link/")
    _, said = run(capsys, folder, "add", "bob", "--url", "https://lab.example/")
    assert "bob is a reviewer" in said and said.splitlines()[1].startswith("https://lab.example/staff/link/")
    _, said = run(capsys, folder, "reset", "BOB", "--json")
    link = json.loads(said)["link"].rpartition("/")[2]
    db = Database.open(Programme.open(folder).store_url)
    opened = open_link(db, link)
    assert opened is not None and opened.purpose is Purpose.PASSWORD and opened.member.login == "bob"
    assert "closed and signed out" in run(capsys, folder, "deactivate", "bob")[1]
    assert open_link(db, link) is None
    assert {act.staff_id for act in acts(db, 20)} == {"command line"}
    db.close()
    listed = json.loads(run(capsys, folder, "list", "--json")[1])["staff"]
    assert [(one["login"], one["active"]) for one in listed] == [("ann@x.example", True), ("bob", False)]
    assert "reviewer    closed          bob  bob" in run(capsys, folder, "list")[1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reset", "nobody"], "there is no account 'nobody'; 'concordant staff list'"),
        (["deactivate", "nobody"], "there is no account 'nobody'"),
        (["deactivate", "ann"], "ann is the last researcher"),
        (["add", "ANN"], "the login 'ann' is taken"),
        (["add", "a b"], "a login has 1 to 100"),
        (["add", "x", "--role", "emperor"], "invalid choice"),
    ],
)
def test_wrong_input_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str) -> None:
    assert run(capsys, folder, "add", "ann", "--role", "researcher")[0] == 0
    status, error = run(capsys, folder, *words)
    assert status == 2 and said in error and error.count("\n") == 1
