"""Rewritten replies: in the place of the reply in the talk, beside the choice in the data."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from concordant.comparison import Comparison, Objective, Tranche
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.evaluate.elo import games_from_preferences
from concordant.store.database import Database
from concordant.store.datasets import freeze, load_dataset
from concordant.store.edits import edit
from concordant.store.exports import export
from concordant.store.people import permit_edits
from concordant.store.preferences import Filter, counts, preferences
from concordant.store.records import EDITS
from concordant.store.registry import Snapshot
from concordant.store.talk_views import view
from concordant.store.talks import choose, say
from stories import ask, base_model, draw, person, policy_model, write_replies


def chosen(
    database: Database, may_edit: bool = True, objective: Objective = Objective.HELPFUL
) -> tuple[str, str, Snapshot]:
    """A talk of two turns whose first choice took reply B: (talk id, comparison id, a model)."""
    worker = person(database)
    permit_edits(database, worker.id, may_edit)
    base, policy = base_model(database), policy_model(database)
    talk, comparison = ask(database, worker, draw(base, policy), objective)
    write_replies(database)
    choose(database, comparison, 7, "c")
    return talk, comparison, base


def test_the_talk_goes_on_from_the_rewritten_reply(database: Database) -> None:
    talk, comparison, model = chosen(database)
    edit(database, comparison, "draft", "e1")
    for _ in range(2):
        edit(database, comparison, "as it should be", "e2")
    assert view(database, talk).conversation == Conversation().human("hello").assistant("as it should be")
    with database.read() as session:
        rows = session.execute(text("SELECT number, text FROM edits ORDER BY number")).all()
    assert [tuple(row) for row in rows] == [(1, "draft"), (2, "as it should be")]
    say(database, talk, "more", "k2", draw(model))
    with pytest.raises(UserError, match="has gone on"):
        edit(database, comparison, "too late", "e3")


def test_a_rewriting_is_a_comparison_of_its_own_kind_beside_the_choice(database: Database, tmp_path: Path) -> None:
    _, comparison, _ = chosen(database)
    edit(database, comparison, "draft", "e1")
    edit(database, comparison, "as it should be", "e2")
    (first_id, choice), (second_id, rewriting) = list(preferences(database, Filter()))
    prompt = Conversation().human("hello")
    assert first_id == comparison and choice.comparison == Comparison(prompt, "reply 0", "reply 1")
    assert second_id != comparison and rewriting.source == EDITS
    assert rewriting.comparison == Comparison(prompt, "as it should be", "reply 1") and rewriting.preferred == "a"
    assert (rewriting.strength, rewriting.models, rewriting.tranche) == (None, None, Tranche.ONLINE)
    assert len(games_from_preferences([choice, rewriting])) == 1, "a person is no player of the board"
    assert {row["source"]: row["n"] for row in counts(database)} == {"store": 1, EDITS: 1}
    frozen = freeze(database, "d", Filter(), tmp_path)
    assert load_dataset(frozen.path) == [choice, rewriting], "the last one of each, and both kinds"
    out = export(database, tmp_path / "all.parquet", "parquet", Filter())
    row = pq.read_table(out.path).to_pylist()[1]
    assert (row["source"], row["reply_a"], row["reply_b"]) == (EDITS, "as it should be", "reply 1")
    assert (row["button"], row["model_a"], row["snapshot_a"]) == (None, None, None) and row["snapshot_b"] is not None
    hh = export(database, tmp_path / "all.jsonl", "hh", Filter())
    assert hh.tally.taken == 2 and EDITS in hh.card.read_text()


def test_a_change_of_mind_takes_the_other_reply_as_it_is(database: Database) -> None:
    talk, comparison, _ = chosen(database)
    edit(database, comparison, "as it should be", "e")
    choose(database, comparison, 1, "c2", instead_of=1)
    assert view(database, talk).conversation.turns[-1].text == "reply 0"
    assert [found.source for _, found in preferences(database, Filter())] == ["store"]
    choose(database, comparison, 8, "c3", instead_of=2)
    assert view(database, talk).conversation.turns[-1].text == "as it should be"


def test_after_a_change_of_mind_the_other_reply_can_be_rewritten_too(database: Database) -> None:
    talk, comparison, _ = chosen(database)
    edit(database, comparison, "a better one", "e1")
    choose(database, comparison, 1, "c2", instead_of=1)
    edit(database, comparison, "a better other", "e2")
    assert view(database, talk).conversation.turns[-1].text == "a better other"
    choose(database, comparison, 8, "c3", instead_of=2)
    assert view(database, talk).conversation.turns[-1].text == "reply 1", "the newest rewriting is of the other"
    edit(database, comparison, "better again", "e3")
    assert view(database, talk).conversation.turns[-1].text == "better again"


def test_who_may_not_and_what_cannot_be_rewritten(database: Database) -> None:
    _, comparison, model = chosen(database)
    for words, problem in (("reply 1", "as it was"), (" \n", "nothing left")):
        with pytest.raises(UserError, match=problem):
            edit(database, comparison, words, "e")
    with pytest.raises(UserError, match="no comparison 'x'"):
        edit(database, "x", "words", "e")
    worker = person(database)
    permit_edits(database, worker.id, True)
    _, waiting = ask(database, worker, draw(model))
    with pytest.raises(UserError, match="wait for your choice"):
        edit(database, waiting, "words", "e")


@pytest.mark.parametrize(("may_edit", "objective"), [(False, Objective.HELPFUL), (True, Objective.HARMLESS)])
def test_only_permitted_workers_in_helpful_work(database: Database, may_edit: bool, objective: Objective) -> None:
    _, comparison, _ = chosen(database, may_edit, objective)
    with pytest.raises(UserError, match="cannot be rewritten here"):
        edit(database, comparison, "words", "e")


def test_rewritings_are_kept_by_the_database(database: Database) -> None:
    _, comparison, _ = chosen(database)
    edit(database, comparison, "as it should be", "e")
    for statement in ("UPDATE edits SET text = 'x'", "DELETE FROM edits"):
        with pytest.raises(DatabaseError, match="append-only"), database.write() as session:
            session.execute(text(statement))
