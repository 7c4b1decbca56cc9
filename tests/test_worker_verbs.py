import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.people import WorkerKind, add_worker


def test_workers_are_listed_and_permitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    folder = str(programme.path)
    assert main(["worker", "list", "--dir", folder]) == 0
    assert "no workers yet" in capsys.readouterr().out
    database = Database.open(programme.store_url)
    ann, _ = add_worker(database, "Ann", WorkerKind.PERSON)
    database.close()
    assert main(["worker", "permit", ann.id, "edits", "--dir", folder]) == 0
    capsys.readouterr()
    assert main(["worker", "list", "--dir", folder, "--json"]) == 0
    row = {"id": ann.id, "name": "Ann", "kind": "person", "may_edit": True}
    assert json.loads(capsys.readouterr().out) == {"workers": [row]}
    assert main(["worker", "permit", ann.id, "no-edits", "--dir", folder]) == 0
    assert "may not rewrite" in capsys.readouterr().out
    assert main(["worker", "permit", "nobody", "edits", "--dir", folder]) == 2
    assert "there is no worker 'nobody'" in capsys.readouterr().err
