"""What a worker is told between tasks."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from concordant.collect.news import News, news
from concordant.programme_config import PayConfig
from concordant.store.announcements import announce
from concordant.store.letters import write_letter
from concordant.store.people import WorkerKind
from stories import base_model, person
from visitors import fresh_store, room_with
from working_days import Day, sit, whole


def test_nothing_then_everything(sqlite_template: Path, tmp_path: Path) -> None:
    with fresh_store(sqlite_template, tmp_path) as db:
        ann, room = person(db), room_with(db)
        assert news(room, ann) == News((), 0, "")
        announce(db, "*Hello*", None, "k", "boss")
        write_letter(db, ann.id, "hi", "k", "boss")
        sit(db, ann, base_model(db), Day([whole(0)]))
        assert news(room, ann).earned == "", "no rates, no line"
        paying = replace(room, pay=PayConfig(currency="JPY", amount=Decimal(150)))
        told = news(paying, ann)
        assert [html for _, html in told.announcements] == ["<p><em>Hello</em></p>\n"] and told.unread == 1
        assert told.earned == "For your ended sessions: 150 JPY earned, of which 0 JPY has been paid."
        assert news(paying, person(db, "script", WorkerKind.SCRIPTED)).earned == ""
