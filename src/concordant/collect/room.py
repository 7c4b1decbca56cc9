"""What the routes share: the store, the settings, and how a page is made.

Routes take it with ``RoomHere``, and who is behind a request with ``WorkerHere`` (a worker who agreed to take part),
``GuestHere`` (a worker who may not have agreed yet), ``ReviewerHere`` (staff of any role), ``ResearcherHere``, or
``SignedInHere`` (staff, with the session).
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeVar

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from concordant.collect.heartbeat import Heartbeat
from concordant.collect.messages import Messages, english
from concordant.collect.static_files import StaticFiles
from concordant.programme_config import (
    ApiConfig,
    CareConfig,
    CollectConfig,
    LimitsConfig,
    PanelConfig,
    PayConfig,
    ReviewConfig,
    StaffConfig,
)
from concordant.store.consents import ConsentText, has_agreed
from concordant.store.database import Database
from concordant.store.people import Worker, worker_by_token
from concordant.store.staff import Role, Staff, staff_names, staff_of
from concordant.store.staff_sessions import Terms, session_of

WORKER_COOKIE = "concordant_worker"
STAFF_COOKIE = "concordant_staff"
T = TypeVar("T")
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
        auto_reload=False,  # no look at each file's time on every page
    )
    environment.globals.update(static=static_files().address, work="")
    return environment


class NotInvited(Exception):
    """No valid worker's link was opened in this browser."""


class NotSignedIn(Exception):
    """A page of the staff's, and nobody is signed in in this browser, or no longer."""


class NotAllowed(Exception):
    """A researcher's page, and a reviewer."""


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
        staff: how long staff stay signed in, and single sign-on.
        limits: how often what may be asked for.
        api: bounds of ``/v1``.
        pay: what work earns.
        say: the words of the workers' pages.
        consent: what people agree to before anything else.
        seed: of every draw; secret, or a worker could work out which model wrote which side.
        secret: of the hashes in people's answers without names; on no page and in no link, so that staff lack it.
        heartbeat: where the generator says that it is alive.
        runs: folder of the programme's runs, for what their data came to; None: as the store knows them.
        report: folder of the newest report, for researchers; None: there is none.
        review: which conversations staff read, and which comparisons get a second opinion.
        banner: one line over every page, such as that replies are scripted; "": none.
        stopping: True once the process ends, so that streams end with it.
    """

    db: Database
    config: CollectConfig
    care: CareConfig = field(default_factory=lambda: CareConfig())
    panel: PanelConfig = field(default_factory=lambda: PanelConfig())
    staff: StaffConfig = field(default_factory=lambda: StaffConfig())
    limits: LimitsConfig = field(default_factory=lambda: LimitsConfig())
    api: ApiConfig = field(default_factory=lambda: ApiConfig())
    pay: PayConfig = field(default_factory=lambda: PayConfig())
    say: Messages = field(default_factory=english)
    consent: ConsentText = field(default_factory=built_in_consent)
    seed: str = "0"
    secret: str = "0"
    heartbeat: Heartbeat = field(default_factory=lambda: Heartbeat(None))
    runs: Path | None = None
    report: Path | None = None
    review: ReviewConfig = field(default_factory=lambda: ReviewConfig())
    banner: str = ""
    stopping: Callable[[], bool] = lambda: False

    @property
    def terms(self) -> Terms:
        """How long a session of staff holds."""
        return Terms(timedelta(days=self.staff.session_days), timedelta(hours=self.staff.idle_hours))

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """A whole page. Templates know a member of staff by name with ``staff_name(id)``."""
        names = cache(lambda: staff_names(self.db))  # asked for only where a page shows one
        given = {"banner": self.banner, "say": self.say, "staff_name": lambda id: names().get(id, id)}
        text = _templates().get_template(template).render(given, **values)
        return HTMLResponse(text, status)

    def notice(
        self, status: int, title: str, text: str, link: tuple[str, str] | None = None, kept: str = ""
    ) -> HTMLResponse:
        """A page of one short text, perhaps one (address, text) to go on with, and what was typed before it came."""
        address, label = link or ("", "")
        return self.page("notice.html", status, title=title, text=text, link=address, link_text=label, kept=kept)


async def room_here(request: Request) -> Room:
    """``room_of`` for routes; a plain function would be sent to a thread, on every request."""
    return room_of(request)


def room_of(request: Request) -> Room:
    """The room of the application that serves the request."""
    room: Room = request.app.state.room
    return room


@cache
def _long_threads() -> CapacityLimiter:
    return CapacityLimiter(16)


async def aside(work: Callable[[], T]) -> T:
    """Do what takes seconds in a thread of its own kind, so that no page waits for it."""
    return await to_thread.run_sync(work, limiter=_long_threads())


RoomHere = Annotated[Room, Depends(room_here)]


def worker_of(request: Request, room: RoomHere) -> Worker:
    """Who opened their link in this browser."""
    worker = worker_by_token(room.db, request.cookies.get(WORKER_COOKIE, ""))
    if worker is None:
        raise NotInvited
    return worker


def agreed_worker_of(room: RoomHere, worker: Annotated[Worker, Depends(worker_of)]) -> Worker:
    """The same, if they have agreed to the text as it stands."""
    if not has_agreed(room.db, worker.id, room.consent):
        raise NotAgreed
    return worker


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A member of staff and the session in which they are here. ``has_means``: they can sign in again by themselves."""

    staff: Staff
    session: str
    has_means: bool


def staff_cookie(request: Request) -> str:
    """Name of the cookie that holds a staff session; under https, browsers let no other host or path set it."""
    return f"__Host-{STAFF_COOKIE}" if request.url.scheme == "https" else STAFF_COOKIE


def signed_in_of(request: Request, room: RoomHere) -> SignedIn:
    """The member of staff behind a request, of any role, and their session."""
    found = session_of(room.db, request.cookies.get(staff_cookie(request), ""), room.terms)
    if found is None:
        raise NotSignedIn
    row, session = found
    return SignedIn(staff_of(row), session, row.password_hash is not None or row.sign_on is not None)


def reviewer_of(signed_in: Annotated[SignedIn, Depends(signed_in_of)]) -> Staff:
    """The member of staff behind a request, of any role."""
    return signed_in.staff


def researcher_of(staff: Annotated[Staff, Depends(reviewer_of)]) -> Staff:
    """The same, if they may do everything."""
    if staff.role is not Role.RESEARCHER:
        raise NotAllowed
    return staff


GuestHere = Annotated[Worker, Depends(worker_of)]
WorkerHere = Annotated[Worker, Depends(agreed_worker_of)]
SignedInHere = Annotated[SignedIn, Depends(signed_in_of)]
ReviewerHere = Annotated[Staff, Depends(reviewer_of)]
ResearcherHere = Annotated[Staff, Depends(researcher_of)]
