import csv
import io
import json
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.datasets import freeze, load_dataset
from concordant.store.erasure import erasure_of
from concordant.store.people import WorkerKind, add_worker, participant, worker_by_token
from concordant.store.preferences import Filter
from stories import base_model
from working_days import Day, Played, Turn, sit, whole


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


def test_a_link_is_made_and_ended(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    folder = str(programme.path)
    assert main(["worker", "link", "Cat", "--dir", folder, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["worker", "link", "--again", made["worker"], "--dir", folder]) == 0
    again = capsys.readouterr().out
    assert "they are not served now" in again
    database = Database.open(programme.store_url)
    assert worker_by_token(database, made["link"].removeprefix("/w/")) is None
    found = worker_by_token(database, again.split()[0].removeprefix("/w/"))
    assert found is not None and (found.id, found.name) == (made["worker"], "Cat")
    assert [act.act for act in acts(database, 9)] == ["link ended", "worker invited"]
    database.close()
    for wrong in ([], ["Cat", "--again", "x"]):
        assert main(["worker", "link", *wrong, "--dir", folder]) == 2
        assert "give the NAME" in capsys.readouterr().err


def test_pay_is_shown_and_recorded_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = '[pay]\ncurrency = "EUR"\namount = 1.10\nfloor = 25\n'
    programme = Programme.init(tmp_path / "p", settings)
    folder, file = str(programme.path), tmp_path / "panel.csv"
    database = Database.open(programme.store_url)
    ann, _ = participant(database, "prolific", "p-ann")
    sit(database, ann, base_model(database), Day([whole(0)]))
    database.close()
    assert main(["worker", "pay", "--dir", folder]) == 0
    said = capsys.readouterr().out
    assert "1.10       0.00       1.10     22.00  below the floor by 0.15" in said
    record = ["worker", "pay", "--record", "transfer 7", "--key", "k", "--panel-csv", str(file), "--json"]
    assert main([*record, "--dir", folder]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["recorded"] == [{"worker": ann.id, "amount": "1.10", "sittings": 1}]
    assert (done["accounts"][0]["owed"], done["accounts"][0]["paid"]) == ("0.00", "1.10")
    assert file.read_text() == "p-ann,1.10\n"
    file.unlink()
    assert main([*record, "--dir", folder]) == 0
    assert json.loads(capsys.readouterr().out)["accounts"] == done["accounts"]
    assert file.read_text() == "p-ann,1.10\n", "the same payment's lines, though nothing is owed any more"
    for wrong in (["--record", "x"], ["--worker", ann.id], ["--record", "x", "--key", "new"]):
        assert main(["worker", "pay", *wrong, "--dir", folder]) == 2
    assert main(["worker", "pay", "--dir", str(Programme.init(tmp_path / "q").path)]) == 2
    assert "pay is not kept here" in capsys.readouterr().err


def test_a_panel_file_pays_whom_it_records_and_an_id_stays_an_id(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    programme = Programme.init(tmp_path / "p", '[pay]\ncurrency = "EUR"\namount = 1.10\n')
    database = Database.open(programme.store_url)
    model = base_model(database)
    ann, _ = participant(database, "prolific", "p-ann")
    bob, _ = participant(database, "prolific", "me,900.00\nx")  # as one could once arrive
    for worker in (ann, bob):
        sit(database, worker, model, Day([whole(0)]))
    database.close()
    file = tmp_path / "panel.csv"
    pay = ["worker", "pay", "--panel-csv", str(file), "--dir", str(programme.path)]
    assert main(pay) == 0
    rows = list(csv.reader(io.StringIO(file.read_text())))
    assert sorted(rows) == [["me,900.00\nx", "1.10"], ["p-ann", "1.10"]]
    assert main([*pay, "--record", "r", "--key", "k", "--worker", ann.id]) == 0
    assert file.read_text() == "p-ann,1.10\n", "who was not recorded is not in the file that is uploaded"
    capsys.readouterr()


def test_erasing_is_shown_before_it_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    programme = Programme.init(tmp_path / "p")
    folder = str(programme.path)
    database = Database.open(programme.store_url)
    ann, _ = participant(database, "prolific", "p-ann")
    turn = Turn(60, 120, 170, "xylophone")
    sit(database, ann, base_model(database), Day([Played(0, [turn], 180)]))
    sit(database, add_worker(database, "Bob", WorkerKind.PERSON)[0], base_model(database), Day([whole(0)]))
    freeze(database, "spring", Filter(), programme.datasets)
    assert main(["worker", "erase", ann.id, "--dir", folder]) == 0
    said = capsys.readouterr().out
    assert "would be erased: 1 messages" in said and "held by data set spring: 1 of 2" in said
    assert erasure_of(database, ann.id) is None
    assert main(["worker", "erase", ann.id, "--freeze-again", "--dir", folder]) == 2
    assert "goes with --yes" in capsys.readouterr().err
    assert main(["worker", "erase", ann.id, "--yes", "--freeze-again", "--dir", folder, "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["erased"]["clean"] and done["text"]["messages"] == 1 and "prolific" not in str(done["text"])
    assert [one["name"] for one in done["held"]["datasets"]] == ["spring"]
    (anew,) = done["frozen"]
    assert anew["name"] == f"spring-without-{ann.id[:8]}"
    assert [one.worker for one in load_dataset(Path(anew["path"]))] != [ann.id]
    assert len(load_dataset(Path(anew["path"]))) == 1
    assert erasure_of(database, ann.id) is not None
    database.close()
    assert b"xylophone" not in (programme.path / "store.sqlite").read_bytes()
    assert main(["worker", "erase", "nobody", "--dir", folder]) == 2
