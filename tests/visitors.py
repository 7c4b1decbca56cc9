"""A worker without a browser, for tests of the pages: opens its link, reads the forms, sends them."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from concordant.collect.app import create_app
from concordant.collect.heartbeat import Heartbeat
from concordant.collect.room import STAFF_COOKIE, Room
from concordant.collect.served_page import ServedPage, read_page
from concordant.programme_config import CareConfig, CollectConfig, LimitsConfig, PanelConfig, StaffConfig
from concordant.sampler import Reply
from concordant.store.audit import COMMAND_LINE, Act, acts
from concordant.store.database import Database
from concordant.store.people import Worker, WorkerKind, add_worker
from concordant.store.registry import Snapshot, SnapshotKind, add_snapshot, deploy
from concordant.store.reply_queue import claim, finish
from concordant.store.staff import Role, Staff, add_member, members
from concordant.store.staff_sessions import Terms, open_session


@contextmanager
def fresh_store(template: Path, folder: Path) -> Iterator[Database]:
    """An empty SQLite store: what the pages do with a store, they do with any."""
    shutil.copy(template, folder / "store.sqlite")
    database = Database.open(f"sqlite:///{folder / 'store.sqlite'}")
    try:
        yield database
    finally:
        database.close()


class Visitor:
    """A worker with a browser of their own on an application."""

    def __init__(self, db: Database, room: Room | None = None, name: str = "visitor") -> None:
        self.db = db
        self.room = room or Room(db, CollectConfig())
        self.client = TestClient(create_app(self.room), follow_redirects=True)
        self.worker: Worker
        self.worker, self.token = add_worker(db, name, WorkerKind.PERSON)

    def enter(self) -> ServedPage:
        """Opens the link, and agrees where the page asks for it."""
        page = self.open_link()
        form = page.form("/work/agree", "agreed")
        return page if form is None else read_page(self.post(form.action, {**form.hidden, "agreed": "1"}).text)

    def open_link(self) -> ServedPage:
        return read_page(self.client.get(f"/w/{self.token}").text)

    @property
    def page(self) -> ServedPage:
        """What the worker's page shows now."""
        answer = self.client.get("/work")
        assert answer.status_code == 200, answer.text
        return read_page(answer.text)

    def send(self, action: str, offers: str = "", **fields: str) -> Any:
        """Fill in and send a form of the page as it is now."""
        form = self.page.form(action, offers)
        assert form is not None, f"the page offers no {action}"
        return self.post(action, {**form.hidden, **fields})

    def post(self, action: str, fields: dict[str, str], **options: Any) -> Any:
        return self.client.post(action, data=fields, **options)

    def start(self) -> None:
        self.enter()
        assert self.send("/work/start").status_code == 200

    def say(self, text: str = "How do I bake bread?") -> str:
        """Says something; returns the comparison's address part."""
        assert self.send("/work/say", text=text).status_code == 200
        stream = self.page.stream
        assert stream is not None
        return stream.removeprefix("/work/stream/")

    def choose(self, button: int) -> None:
        form = self.page.form("/work/choose", "button")
        assert form is not None, "the page offers no choice"
        shown = {"unveiled": "1"} if "unveiled" in form.fields else {}
        assert self.post(form.action, {**form.hidden, **shown, "button": str(button)}).status_code == 200


def sign_in_staff(client: TestClient, db: Database, role: Role = Role.RESEARCHER, name: str = "Ann") -> Staff:
    """A new member of staff, signed in in this browser."""
    staff, cookie = signed_in_staff(db, role, name)
    client.cookies.set(STAFF_COOKIE, cookie)
    return staff


def signed_in_staff(db: Database, role: Role = Role.RESEARCHER, name: str = "Ann") -> tuple[Staff, str]:
    """A new member of staff, and the cookie of a session of theirs."""
    staff = add_member(db, COMMAND_LINE, name, f"{name.lower()}-{len(members(db))}", role).staff
    with db.write() as session:
        return staff, open_session(session, staff.id, "a test", Terms())


def acts_but_sign_ins(db: Database, most: int = 50) -> list[Act]:
    """What staff did, newest first, without how they came in."""
    return [act for act in acts(db, most) if act.act not in ("member added", "signed in")]


def deploy_two(db: Database) -> tuple[Snapshot, Snapshot]:
    """Two models before the workers."""
    spec = {"folder": "base-model-folder", "adapter": None}
    base = add_snapshot(db, "label-of-base", SnapshotKind.MODEL, spec)
    policy = add_snapshot(db, "label-of-policy", SnapshotKind.MODEL, {**spec, "adapter": "adapter-folder"})
    deploy(db, base.id, 1.0)
    deploy(db, policy.id, 1.0)
    return base, policy


def write_all(db: Database, *texts: str) -> None:
    """Write what waits in the queue, the texts in turn."""
    jobs = claim(db, "writer", 100, 60.0)
    replies = {job.reply_id: Reply(texts[n % len(texts)], True, 3) for n, job in enumerate(jobs)}
    finish(db, "writer", replies)


def room_with(db: Database, folder: Path | None = None, **settings: Any) -> Room:
    """A room with these collect settings; with a folder, it has a heartbeat and a report's place.

    Settings ``care``, ``panel``, ``staff`` and ``limits`` are those sections' (mappings).
    """
    care, panel = CareConfig(**settings.pop("care", {})), PanelConfig(**settings.pop("panel", {}))
    staff, limits = StaffConfig(**settings.pop("staff", {})), LimitsConfig(**settings.pop("limits", {}))
    heartbeat = Heartbeat(None if folder is None else folder / "generator.state")
    report = None if folder is None else folder / "report"
    collect = CollectConfig(**settings)
    return Room(db, collect, care, panel, staff=staff, limits=limits, heartbeat=heartbeat, report=report)
