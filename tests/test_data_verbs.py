"""``concordant data …`` as a user runs it: what it prints, how it ends, what it leaves."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from concordant.cli import main
from concordant.programme import Programme
from concordant.store.database import Database
from concordant.store.datasets import load_dataset
from concordant.store.people import WorkerKind
from stories import base_model, draw, person, play

GOOD = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: yes", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: no"}\n'
SAME = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: yes", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: yes"}\n'


@pytest.fixture
def programme(tmp_path: Path) -> Programme:
    return Programme.init(tmp_path / "programme")


@pytest.fixture
def collected(programme: Programme) -> Programme:
    """A programme with a person's choice, and a script's two, one of them of the weakest strength."""
    database = Database.open(programme.store_url)
    model = base_model(database)
    play(database, person(database), draw(model), [1], study="s")
    play(database, person(database, "script", WorkerKind.SCRIPTED), draw(model), [2, 5])
    database.close()
    return programme


def run(capsys: pytest.CaptureFixture[str], programme: Programme, *arguments: object) -> dict[str, object]:
    """The JSON that a command prints."""
    assert main([*map(str, arguments), "--dir", str(programme.path), "--json"]) == 0
    result: dict[str, object] = json.loads(capsys.readouterr().out)
    return result


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """The one line of a command that ends with status 2."""
    assert main(list(map(str, arguments))) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1
    return captured.err


def test_import_counts_what_it_took_and_dropped(
    programme: Programme, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(GOOD + SAME * 2)
    arguments = ("data", "import", file, "--objective", "helpful", "--tranche", "base")
    report = {"name": "file.jsonl", "rows": 3, "taken": 1, "dropped": {"equal replies": 2}}
    assert run(capsys, programme, *arguments) == {
        "added": 1,
        "dropped": {"equal replies": 2},
        "files": [report | {"already": False}],
    }
    assert run(capsys, programme, *arguments) == {"added": 0, "dropped": {}, "files": [report | {"already": True}]}
    main([*map(str, arguments), "--dir", str(programme.path)])
    assert capsys.readouterr().out == "file.jsonl: imported before; nothing added\n0 preferences added\n"


def test_import_says_it_in_words(programme: Programme, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.jsonl"
    file.write_text(GOOD + SAME * 2)
    main(["data", "import", str(file), "--objective", "helpful", "--tranche", "rs", "--dir", str(programme.path)])
    assert capsys.readouterr().out == (
        "file.jsonl: 1 of 3 rows taken; left out: 2 equal replies\n1 preferences added\n"
    )


def test_export_and_its_card(collected: Programme, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hh = run(capsys, collected, "data", "export", tmp_path / "x.jsonl.gz", "--format", "hh")
    assert (hh["taken"], hh["dropped"]) == (2, {"weakest strength": 1})
    assert hh["worker_kinds"] == {"person": 1, "scripted": 1}
    parquet = run(capsys, collected, "data", "export", tmp_path / "x.parquet", "--format", "parquet")
    assert (parquet["taken"], parquet["dropped"]) == (3, {})
    assert Path(str(parquet["card"])).read_text().startswith("# x.parquet")
    only = run(capsys, collected, "data", "export", tmp_path / "y.parquet", "--format", "parquet", "--study", "s")
    assert only["worker_kinds"] == {"person": 1}
    scripted = ("--worker-kind", "scripted")
    by_scripts = run(capsys, collected, "data", "export", tmp_path / "z.parquet", "--format", "parquet", *scripted)
    kinds = by_scripts["worker_kinds"]
    assert isinstance(kinds, dict) and set(kinds) == {"scripted"}
    main(["data", "export", str(tmp_path / "x.jsonl"), "--format", "hh", "--dir", str(collected.path)])
    assert "2 preferences (1 person, 1 scripted); left out: 1 weakest strength" in capsys.readouterr().out


def test_freeze_makes_a_set_that_loads(collected: Programme, capsys: pytest.CaptureFixture[str]) -> None:
    frozen = run(capsys, collected, "data", "freeze", "one")
    assert frozen["path"] == str(collected.datasets / "one.jsonl.gz")
    assert len(load_dataset(Path(str(frozen["path"])))) == frozen["taken"] == 2
    every = run(capsys, collected, "data", "freeze", "all", "--keep-weakest", "--source", "store", "--model", "base")
    assert every["taken"] == 3
    assert run(capsys, collected, "data", "freeze", "one")["digest"] == frozen["digest"]
    assert "one" in refused(capsys, "data", "freeze", "one", "--study", "s", "--dir", collected.path)


def test_wrong_input_is_one_line(programme: Programme, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ("--dir", programme.path)
    told = ("--objective", "helpful", "--tranche", "base")
    assert "does not exist" in refused(capsys, "data", "import", tmp_path / "none", *told, *where)
    assert "--objective" in refused(capsys, "data", "import", tmp_path / "none", *where)
    assert "choose from" in refused(capsys, "data", "import", "x", "--objective", "kind", "--tranche", "base", *where)
    assert "is no programme" in refused(capsys, "data", "import", "x", *told, "--dir", tmp_path)
    assert "no preference" in refused(capsys, "data", "export", tmp_path / "x", "--format", "hh", *where)
    assert "would be empty" in refused(capsys, "data", "freeze", "one", *where)
    assert "is not a URL" in _with_store(capsys, programme, "nonsense")
    assert not (tmp_path / "x").exists()


@pytest.mark.realdata
def test_the_released_files_are_counted_to_the_last_row(programme: Programme, real_data: Path) -> None:
    """The README beside the data counts 39 equal, 69 unshared and 37 empty pairs; these files hold 32, 54 and 27.

    Comparing the raw strings around the last "Assistant:", without any of this code, finds the same numbers. The README
    says too that the files are one side of a split by opening, so its counts are most likely those of both sides.
    One pair more is dropped: its rejected transcript ends on the human.
    """
    rows = {
        "helpful-base": 1757,
        "helpful-rejection-sampled": 2056,
        "helpful-online": 856,
        "harmless-base": 1738,
        "helpful-single-turn": 8942,
        "harmless-single-turn": 9012,
    }
    dropped: Counter[str] = Counter()
    for objective in ("helpful", "harmless"):
        names = [name for name in rows if name.startswith(objective)]
        files = [str(real_data / "hh" / f"{name}.jsonl.gz") for name in names]
        # As a user runs it, in a process of its own: without the checks of every annotation it is five times faster.
        command = [
            "data",
            "import",
            *files,
            "--objective",
            objective,
            "--tranche",
            "base",
            "--dir",
            str(programme.path),
        ]
        done = subprocess.run(
            [sys.executable, "-m", "concordant.cli", *command, "--json"], capture_output=True, text=True, check=True
        )
        report = json.loads(done.stdout)
        for name, file in zip(names, report["files"], strict=True):
            assert file["rows"] == rows[name] == file["taken"] + sum(file["dropped"].values())
        assert report["added"] == sum(file["taken"] for file in report["files"])
        dropped += Counter(report["dropped"])
    assert dropped == {
        "equal replies": 32,
        "no shared prompt": 54,
        "empty reply": 27,
        "'rejected' does not end on a reply": 1,
    }


def _with_store(capsys: pytest.CaptureFixture[str], programme: Programme, url: str) -> str:
    (programme.path / "concordant.toml").write_text(f'store = "{url}"\n')
    return refused(capsys, "data", "freeze", "one", "--dir", programme.path)
