from sqlalchemy import select

from concordant.store.consents import ConsentText, agree, has_agreed
from concordant.store.database import Database
from concordant.store.day_tables import ConsentRow, ConsentTextRow
from stories import person

FIRST, SECOND = ConsentText("You may stop."), ConsentText("You may stop at any time.")


def test_an_agreement_is_to_one_text(database: Database) -> None:
    ann, bob = person(database, "Ann"), person(database, "Bob")
    for _ in range(2):
        agree(database, ann.id, FIRST)
    assert has_agreed(database, ann.id, FIRST)
    assert not has_agreed(database, ann.id, SECOND), "a changed text asks again"
    assert not has_agreed(database, bob.id, FIRST)
    agree(database, bob.id, FIRST)
    agree(database, ann.id, SECOND)
    assert has_agreed(database, ann.id, FIRST) and has_agreed(database, ann.id, SECOND)
    with database.read() as session:
        texts = dict(session.execute(select(ConsentTextRow.digest, ConsentTextRow.text)).all())
        agreements = session.execute(select(ConsentRow.worker_id, ConsentRow.digest)).all()
    assert texts == {FIRST.digest: FIRST.text, SECOND.digest: SECOND.text}, "the words agreed to are kept"
    assert sorted(agreements) == sorted([(ann.id, FIRST.digest), (ann.id, SECOND.digest), (bob.id, FIRST.digest)])


def test_the_version_is_the_hash_of_the_text() -> None:
    assert ConsentText("abc").digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
