from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Objective, Tranche
from concordant.errors import UserError
from concordant.store.audit import acts
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.exports import export
from concordant.store.imports import import_files
from concordant.store.people import Worker
from concordant.store.preferences import EXCLUDED, NOT_SELECT, Filter, counts, excluded_choices, preferences
from concordant.store.standing import (
    Kind,
    admit,
    decisions,
    exclude,
    is_excluded,
    moment,
    put_on_select,
    standings,
    take_off_select,
)
from readings import NOON, Story, tell
from stories import base_model, person

HH = '{"chosen": "\\n\\nHuman: hi\\n\\nAssistant: good", "rejected": "\\n\\nHuman: hi\\n\\nAssistant: bad"}\n'


@pytest.fixture
def crew(database: Database, tmp_path: Path) -> tuple[Worker, Worker]:
    """Ann chose three times, on two days; Bob twice, once of the weakest strength; one row is imported."""
    base, ann, bob = base_model(database), person(database, "Ann"), person(database, "Bob")
    tell(database, ann, base, Story(buttons=(1, 7), seconds=(20.0, 20.0)))
    tell(database, ann, base, Story(NOON + timedelta(days=1), buttons=(2,)))
    tell(database, bob, base, Story(NOON + timedelta(hours=1), buttons=(8, 4), seconds=(9.0, 9.0)))
    (tmp_path / "file.jsonl").write_text(HH)
    import_files(database, [tmp_path / "file.jsonl"], Objective.HELPFUL, Tranche.BASE)
    return ann, bob


def test_admitted_again_the_same_rows_are_there(
    database: Database, crew: tuple[Worker, Worker], tmp_path: Path
) -> None:
    _, bob = crew
    before = freeze(database, "before", Filter(), tmp_path)
    exclude(database, "s1", bob.id, "copied from another site")
    without = freeze(database, "without", Filter(), tmp_path)
    admit(database, "s1", bob.id, "it was their own site")
    after = freeze(database, "after", Filter(), tmp_path)
    assert (before.counts["taken"], without.counts["taken"]) == (5, 4)
    assert without.counts["dropped"] == {EXCLUDED: 2}, "both of Bob's, the weakest too"
    assert before.digest == after.digest != without.digest
    assert freeze(database, "all", Filter(workers="all"), tmp_path).digest == before.digest
    exclude(database, "s1", bob.id, "no, it was not")
    assert freeze(database, "all", Filter(workers="all"), tmp_path).digest == before.digest
    assert freeze(database, "without", Filter(), tmp_path).digest == without.digest


def test_what_was_made_before_a_moment_stays(database: Database, crew: tuple[Worker, Worker], tmp_path: Path) -> None:
    ann, _ = crew
    exclude(database, "s1", ann.id, "somebody else took over", NOON + timedelta(hours=12))
    found = freeze(database, "d", Filter(sources="store"), tmp_path)
    assert found.counts["taken"] == 3 and found.counts["dropped"] == {EXCLUDED: 1, "weakest strength": 1}
    assert excluded_choices(database) == 1
    exclude(database, "s1", ann.id, "it began earlier")
    assert excluded_choices(database) == 3
    assert len(list(preferences(database, Filter(sources="store")))) == 1


def test_counts_and_exports_leave_excluded_work_out_and_say_so(
    database: Database, crew: tuple[Worker, Worker], tmp_path: Path
) -> None:
    _, bob = crew
    assert sum(row["n"] for row in counts(database)) == 6 and excluded_choices(database) == 0
    exclude(database, "s1", bob.id, "nonsense")
    assert sum(row["n"] for row in counts(database)) == 4 and excluded_choices(database) == 2
    for name, format in (("out.jsonl.gz", "hh"), ("out.parquet", "parquet")):
        done = export(database, tmp_path / name, format, Filter())  # type: ignore[arg-type]
        assert done.tally.taken == 4 and done.tally.dropped[EXCLUDED] == 2
        assert EXCLUDED in done.card.read_text()


def test_the_select_list_is_a_filter(database: Database, crew: tuple[Worker, Worker], tmp_path: Path) -> None:
    ann, bob = crew
    put_on_select(database, "s1", ann.id, "varied and careful")
    put_on_select(database, "s1", bob.id, "quick wit")
    exclude(database, "s1", bob.id, "nonsense")
    found = freeze(database, "select", Filter(workers="select"), tmp_path)
    assert found.counts["taken"] == 3
    assert found.counts["dropped"] == {EXCLUDED: 2, NOT_SELECT: 1}, "an imported row names nobody"
    take_off_select(database, "s1", ann.id, "has left")
    with pytest.raises(UserError, match="would be empty"):
        freeze(database, "none", Filter(workers="select"), tmp_path)


def test_decisions_need_a_reason_are_kept_and_are_in_the_audit(database: Database) -> None:
    ann = person(database, "Ann")
    for change in (put_on_select, exclude):
        with pytest.raises(UserError, match="needs a reason"):
            change(database, "s1", ann.id, "  ")
    with pytest.raises(UserError, match="is not excluded"):
        admit(database, "s1", ann.id, "why not")
    with pytest.raises(UserError, match="there is no worker 'x'"):
        exclude(database, "s1", "x", "why")
    put_on_select(database, "s1", ann.id, "varied")
    with pytest.raises(UserError, match="on the select list already"):
        put_on_select(database, "s2", ann.id, "varied")
    exclude(database, "s2", ann.id, "nonsense", NOON)
    assert is_excluded(database, ann.id)
    standing = standings(database)[ann.id]
    assert standing.select is not None and standing.select.reason == "varied"
    assert standing.exclusion is not None and standing.exclusion.since == NOON
    admit(database, "s1", ann.id, "a mistake of ours")
    take_off_select(database, "s1", ann.id, "has left")
    assert not is_excluded(database, ann.id) and standings(database) == {}
    made = [(one.kind, one.holds, one.reason) for one in decisions(database, ann.id)]
    assert sorted(made) == [
        (Kind.EXCLUSION, False, "a mistake of ours"),
        (Kind.EXCLUSION, True, "nonsense"),
        (Kind.SELECT, False, "has left"),
        (Kind.SELECT, True, "varied"),
    ]
    noted = {act.act: (act.staff_id, act.detail) for act in acts(database, 10, about=ann.id)}
    assert noted["worker excluded"] == ("s2", {"reason": "nonsense", "since": NOON.isoformat()})
    assert noted.keys() == {"put on select list", "taken off select list", "worker excluded", "worker admitted"}
    for statement in ("UPDATE standings SET holds = NOT holds", "DELETE FROM standings"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))


def test_moments_are_read_in_utc() -> None:
    assert moment("") is None
    with pytest.raises(UserError, match="is no day"):
        moment("0001-01-01T00:00+14:00")  # before there are days
    assert moment("2026-03-02") == datetime(2026, 3, 2, tzinfo=UTC)
    assert moment("2026-03-02T13:00+01:00") == NOON
    with pytest.raises(UserError, match="is no day"):
        moment("yesterday")
