"""Files into the store: whole, once, and nothing where one of them is bad."""

import json
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store import imports
from concordant.store.database import Database
from concordant.store.hh_files import read_hh
from concordant.store.imports import ImportReport, import_files, imported_files
from concordant.store.preferences import Filter, preferences
from concordant.store.tables import ImportedRow


def write(path: Path, numbers: range, broken: int = 0, **more: object) -> Path:
    def transcript(number: int, reply: str) -> str:
        return f"\n\nHuman: question {number}\n\nAssistant: {reply}"

    rows = [{"chosen": transcript(n, "yes"), "rejected": transcript(n, "no")} | more for n in numbers]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows) + "{\n" * broken)
    return path


def take(database: Database, *files: Path) -> ImportReport:
    return import_files(database, files, Objective.HELPFUL, Tranche.BASE)


def stored(database: Database) -> int:
    with database.read() as session:
        return session.execute(select(func.count()).select_from(ImportedRow)).scalar_one()


def test_rows_come_back_as_they_were_in_the_files(database: Database, tmp_path: Path) -> None:
    files = [write(tmp_path / "a.jsonl", range(3), broken=2), write(tmp_path / "b.jsonl", range(3, 5))]
    report = take(database, *files)
    assert report.added == 5 and report.dropped == {"not JSON": 2}
    assert [(file.name, file.rows, file.taken) for file in report.files] == [("a.jsonl", 5, 3), ("b.jsonl", 2, 2)]
    listed = [(one.name, one.rows, one.taken, one.dropped) for one in imported_files(database)]
    assert listed == [("b.jsonl", 2, 2, {}), ("a.jsonl", 5, 3, {"not JSON": 2})]
    read = [one for file in files for one in read_hh(file, Objective.HELPFUL, Tranche.BASE).preferences]
    assert [one for _, one in preferences(database, Filter())] == read


def test_the_same_content_again_adds_nothing_and_says_so(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", range(3), broken=1)
    take(database, file)
    copy = file.rename(tmp_path / "another name.jsonl")
    report = take(database, copy, copy)
    assert [one.already for one in report.files] == [True, True]
    assert (report.added, report.dropped, stored(database)) == (0, {}, 3)


def test_the_same_content_cannot_mean_something_else(database: Database, tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", range(3))
    take(database, file)
    with pytest.raises(UserError, match="was imported as helpful, base before"):
        import_files(database, [file], Objective.HARMLESS, Tranche.BASE)


def test_a_bad_file_stops_all_of_them(database: Database, tmp_path: Path) -> None:
    bad = tmp_path / "bad.jsonl"
    bad.write_text("not HH")
    with pytest.raises(UserError, match=r"bad\.jsonl"):
        take(database, write(tmp_path / "a.jsonl", range(3)), bad)
    assert stored(database) == 0


def test_a_file_is_imported_whole_or_not_at_all(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "_CHUNK", 2)
    file = write(tmp_path / "a.jsonl", range(5))
    rows_of = imports._rows
    with monkeypatch.context() as patch:
        # The last row takes the number of the first, which the database refuses after two chunks were written.
        patch.setattr(imports, "_rows", lambda *given: [*rows_of(*given)[:-1], rows_of(*given)[0]])
        with pytest.raises(IntegrityError):
            take(database, file)
    assert stored(database) == 0
    assert take(database, file).added == 5


def test_the_workers_kind_survives_where_the_file_says_it(database: Database, tmp_path: Path) -> None:
    take(database, write(tmp_path / "a.jsonl", range(2), worker_kind="scripted"))
    with database.read() as session:
        assert list(session.scalars(select(ImportedRow.worker_kind))) == ["scripted", "scripted"]


@pytest.mark.realdata
def test_real_files_come_back_as_they_were_read(database: Database, real_data: Path) -> None:
    file = real_data / "hh" / "helpful-online.jsonl.gz"
    assert take(database, file).added == 852
    read = read_hh(file, Objective.HELPFUL, Tranche.BASE).preferences
    assert [one for _, one in preferences(database, Filter())] == read
