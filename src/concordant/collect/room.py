"""What the routes share: the store, the settings, and how a page is made.

Routes take it with ``RoomHere``, and who is behind a request with ``WorkerHere`` (a worker who agreed to take part),
``GuestHere`` (a worker who may not have agreed yet), ``ReviewerHere`` (staff) or ``ResearcherHere``.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from concordant.collect.heartbeat import Heartbeat
from concordant.collect.messages import Messages, english
from concordant.collect.static_files import StaticFiles
from concordant.programme_config import CareConfig, CollectConfig, PanelConfig, PayConfig
from concordant.store.consents import ConsentText, has_agreed
from concordant.store.database import Database
from concordant.store.people import Worker, worker_by_token
from concordant.store.staff import Role, Staff, staff_by_token

WORKER_COOKIE = "concordant_worker"
STAFF_COOKIE = "concordant_staff"
COOKIE_SECONDS = 60 * 60 * 24 * 60


@cache
def static_files() -> StaticFiles:
    """The stylesheet, the script and the icon."""
    return StaticFiles()


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(static=static_files().address, work="")
    return environment


class NotInvited(Exception):
    """No valid link was opened in this browser. ``staff``: the page is a researcher's."""

    def __init__(self, staff: bool) -> None:
        super().__init__()
        self.staff = staff


class NotAgreed(Exception):
    """The worker has not agreed to the text as it stands now."""


@cache
def built_in_consent() -> ConsentText:
    """The text that people agree to where the programme has none of its own."""
    return ConsentText((Path(__file__).parent / "words/consent.md").read_text())


@dataclass(frozen=True, slots=True)
class Room:
    """What a web process knows.

    Attributes:
        db: the store; the only place where anything is kept.
        config: tasks, turns, shares.
        care: limits on red-team work, and what is offered to those who do it.
        panel: where workers may come from.
        pay: what work earns.
        say: the words of the workers' pages.
        consent: what people agree to before anything else.
        seed: of every draw; secret, or a worker could work out which model wrote which side.
        secret: of the hashes in people's answers without names; on no page and in no link, so that staff lack it.
        heartbeat: where the generator says that it is alive.
        runs: folder of the programme's runs, for what their data came to; None: as the store knows them.
        report: folder of the newest report, for researchers; None: there is none.
        banner: one line over every page, such as that replies are scripted; "": none.
        stopping: True once the process ends, so that streams end with it.
    """

    db: Database
    config: CollectConfig
    care: CareConfig = field(default_factory=lambda: CareConfig())
    panel: PanelConfig = field(default_factory=lambda: PanelConfig())
    pay: PayConfig = field(default_factory=lambda: PayConfig())
    say: Messages = field(default_factory=english)
    consent: ConsentText = field(default_factory=built_in_consent)
    seed: str = "0"
    secret: str = "0"
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(None))
    runs: Path | None = None
    report: Path | None = None
    banner: str = ""
    stopping: Callable[[], bool] = lambda: False

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page."""
        text = _templates().get_template(template).render(banner=self.banner, say=self.say, **values)
        return HTMLResponse(text, status)

    def notice(self, status: int, title: str, text: str, link: tuple[str, str] | None = None) -> HTMLResponse:
        """A page of one short text and perhaps one (address, text) to go on with."""
        address, label = link or ("", "")
        return self.page("notice.html", status, title=title, text=text, link=address, link_text=label)


def room_of(request: Request) -> Room:
    """The room of the application that serves the request."""
    room: Room = request.app.state.room
    return room


RoomHere = Annotated[Room, Depends(room_of)]


def worker_of(request: Request, room: RoomHere) -> Worker:
    """Who opened their link in this browser."""
    worker = worker_by_token(room.db, request.cookies.get(WORKER_COOKIE, ""))
    if worker is None:
        raise NotInvited(staff=False)
    return worker


def agreed_worker_of(room: RoomHere, worker: Annotated[Worker, Depends(worker_of)]) -> Worker:
    """The same, if they have agreed to the text as it stands."""
    if not has_agreed(room.db, worker.id, room.consent):
        raise NotAgreed
    return worker


def reviewer_of(request: Request, room: RoomHere) -> Staff:
    """The member of staff behind a request, of any role."""
    staff = staff_by_token(room.db, request.cookies.get(STAFF_COOKIE, ""))
    if staff is None:
        raise NotInvited(staff=True)
    return staff


def researcher_of(staff: Annotated[Staff, Depends(reviewer_of)]) -> Staff:
    """The same, if they may do everything."""
    if staff.role is not Role.RESEARCHER:
        raise NotInvited(staff=True)
    return staff


GuestHere = Annotated[Worker, Depends(worker_of)]
WorkerHere = Annotated[Worker, Depends(agreed_worker_of)]
ReviewerHere = Annotated[Staff, Depends(reviewer_of)]
ResearcherHere = Annotated[Staff, Depends(researcher_of)]
