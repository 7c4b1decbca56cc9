import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.letters import write_letter
from concordant.store.people import WorkerKind, add_worker


def test_messages_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")

    def run(*words: str) -> str:
        assert main(["message", *words, "--dir", str(programme.path)]) == 0
        return capsys.readouterr().out

    assert "no messages yet" in run("list")
    database = Database.open(programme.store_url)
    ann, _ = add_worker(database, "Ann", WorkerKind.PERSON)
    write_letter(database, ann.id, "red \x1b[31m and \u202eback", "k")
    database.close()
    assert f"{ann.id}  1 new of 1  Ann" in run("list")
    said = run("read", ann.id)
    assert "worker: red \\x1b[31m and \\u202eback" in said and "\x1b" not in said
    assert "0 new of 1" in run("list")
    for _ in range(2):
        run("send", ann.id, "Thank you.", "--key", "a")
    letters = json.loads(run("read", ann.id, "--json"))["letters"]
    assert [(one["staff"], one["text"]) for one in letters][1:] == [("command line", "Thank you.")]
    assert "announced to everyone" in run("announce", "Hello all")
    assert "announced to 1 of the workers" in run("announce", "Hello Ann", "--to", ann.id)
    (ann_only, everyone) = json.loads(run("list", "--json"))["announcements"]
    assert (ann_only["workers"], everyone["workers"], everyone["ended"]) == (1, None, False)
    run("end", everyone["id"])
    assert f"announcement {everyone['id']}  ended" in run("list")
    assert main(["message", "send", "nobody", "x", "--dir", str(programme.path)]) == 2
    assert "there is no worker 'nobody'" in capsys.readouterr().err
