"""The web application: routes, the guard around them, and kind pages for everything that goes wrong (paper §2.1).

Every route that touches the store is a plain function, so that it runs in a thread and never holds up the others. Left
out: what only a proxy in front can do.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from concordant.collect import (
    audit_routes,
    between_routes,
    chat_routes,
    conversation_routes,
    crew_routes,
    day_routes,
    deployment_routes,
    export_routes,
    letter_routes,
    lineage_routes,
    oidc_routes,
    panel,
    pay_routes,
    rating_routes,
    researcher_routes,
    review_routes,
    settings_routes,
    sitting_routes,
    staff_routes,
    throughput_routes,
    worker_routes,
    workforce_routes,
)
from concordant.collect.avoided import avoided_of, shown_while_written
from concordant.collect.chat_form import Refused
from concordant.collect.chat_routes import v1_error
from concordant.collect.chat_watch import ChatWatch
from concordant.collect.day_pages import consent_page
from concordant.collect.guard import Guard
from concordant.collect.messages import refusal
from concordant.collect.replies_watch import RepliesWatch, Telling, events
from concordant.collect.reply_text import Show
from concordant.collect.room import (
    NotAgreed,
    NotAllowed,
    NotInvited,
    NotSignedIn,
    Room,
    RoomHere,
    WorkerHere,
    room_of,
    static_files,
)
from concordant.collect.staff_routes import sentence, sign_in_page
from concordant.collect.throttle import Throttle, ThrottleLayer
from concordant.errors import StoreBusy, UserError
from concordant.store.ledger import Ledger
from concordant.store.talk_views import is_own, view_of

router = APIRouter()

HEALTHY = "concordant\n"
"""What /healthz answers."""

DESK = (
    researcher_routes,
    throughput_routes,
    conversation_routes,
    rating_routes,
    sitting_routes,
    lineage_routes,
    export_routes,
    audit_routes,
)
"""The researcher's pages."""

ROOMS: tuple[Any, ...] = (
    *(panel, worker_routes, day_routes, between_routes),
    *(staff_routes, oidc_routes, settings_routes),
    *(*DESK, review_routes, crew_routes, deployment_routes, workforce_routes, pay_routes, letter_routes),
    chat_routes,
)
"""Modules with routes: workers', accounts, staff's, programs'."""


THREADS = 8
"""Requests that are worked on at once; those that take long have threads of their own (``room.aside``). More only take
the interpreter's lock from each other: each of SQLAlchemy's many small calls gives it away, and with 40 threads (the
framework's default) a page costs up to twice the processor time."""


@asynccontextmanager
async def _few_threads(app: FastAPI) -> AsyncIterator[None]:
    to_thread.current_default_thread_limiter().total_tokens = THREADS
    yield


def create_app(room: Room) -> FastAPI:
    """The application over a room."""
    app = FastAPI(title="Concordant", openapi_url=None, docs_url=None, redoc_url=None, lifespan=_few_threads)
    app.state.room = room
    app.state.ledger = Ledger(room.db)
    app.state.watch = RepliesWatch(room.db, room.heartbeat)
    app.state.chat_watch = ChatWatch(room.db)
    app.state.throttle = Throttle(room.limits)
    app.add_middleware(ThrottleLayer, throttle=app.state.throttle, room=room)
    app.add_middleware(Guard)  # around it, so that its headers are on every answer
    for part in (router, *(rooms.router for rooms in ROOMS)):
        app.include_router(part)
    app.add_exception_handler(Refused, chat_routes.refused)
    app.add_exception_handler(NotInvited, _not_invited)
    app.add_exception_handler(NotSignedIn, _not_signed_in)
    app.add_exception_handler(NotAllowed, _not_allowed)
    app.add_exception_handler(NotAgreed, _not_agreed)
    app.add_exception_handler(UserError, _user_error)
    app.add_exception_handler(StoreBusy, _store_busy)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(404, _http_error)
    app.add_exception_handler(405, _http_error)
    app.add_exception_handler(RequestValidationError, _bad_form)
    app.add_exception_handler(Exception, _our_fault)
    return app


@router.get("/")
def home(room: RoomHere) -> Response:
    """Tells a stranger what this is."""
    return room.notice(200, room.say("notice.home_title"), room.say("notice.home"))


@router.get("/healthz")
def health() -> PlainTextResponse:
    """Answers while the process serves."""
    return PlainTextResponse(HEALTHY)


@router.get("/static/{digest}/{name}")
def static(digest: str, name: str) -> Response:
    """A file whose address changes with its content."""
    file = static_files().at(f"/static/{digest}/{name}")
    if file is None:
        raise HTTPException(404)
    keep = {"Cache-Control": "public, max-age=31536000, immutable"}
    return Response(file.content, media_type=file.media_type, headers=keep)


def _own_comparison(comparison_id: str, room: RoomHere, worker: WorkerHere) -> str:
    if not is_own(room.db, worker.id, comparison_id):
        raise HTTPException(404)
    return comparison_id


def _shown_now(comparison: Annotated[str, Depends(_own_comparison)], room: RoomHere) -> Show:
    """How much is shown while it is written: nothing, where it might touch what the worker opted out of."""
    if room.config.show == "together":
        return "together"
    return shown_while_written(room, avoided_of(room, view_of(room.db, comparison)))


@router.get("/work/stream/{comparison_id}")
async def stream(
    request: Request,
    room: RoomHere,
    comparison: Annotated[str, Depends(_own_comparison)],
    show: Annotated[Show, Depends(_shown_now)],
    only: str = "",
) -> StreamingResponse:
    """Both replies while they are written. ``only=end``: just when they are complete."""
    watch: RepliesWatch = request.app.state.watch
    telling = Telling(only == "end", show, room.say, room.stopping)
    body: AsyncIterator[str] = events(watch, comparison, telling)
    # Proxies that gather a response before passing it on are asked not to.
    return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


async def _typed(request: Request) -> str:
    """What somebody wrote into the form that is refused, so that the refusal can hand it back.

    The routes have read the form already, so this reads nothing from the network.
    """
    if request.method != "POST" or not request.url.path.startswith(("/work/", "/review", "/researcher/")):
        return ""
    form = await request.form()
    return next(
        (text for name in ("text", "comment", "note") if isinstance(text := form.get(name), str) and text.strip()), ""
    )


async def _not_invited(request: Request, error: Exception) -> Response:
    room = room_of(request)
    return room.notice(403, room.say("notice.link_title"), room.say("notice.link"), kept=await _typed(request))


def _not_signed_in(request: Request, error: Exception) -> Response:
    """The form to sign in, in the place of the page: 403, so that a program never takes it for what it asked for."""
    url = request.url
    if request.method not in ("GET", "HEAD"):  # what was sent is lost, so back to the page with the form
        before = urlsplit(request.headers.get("referer", ""))
        return sign_in_page(room_of(request), before.path if before.netloc == url.netloc else "", status=403)
    return sign_in_page(room_of(request), f"{url.path}?{url.query}" if url.query else url.path, status=403)


def _not_allowed(request: Request, error: Exception) -> Response:
    title, text = "This page is for researchers", "Your account is a reviewer's. Ask a researcher to change your role."
    values = {"title": title, "text": text, "link": "/staff/account", "link_text": "Your account"}
    return room_of(request).page("staff_notice.html", 403, **values)


async def _not_agreed(request: Request, error: Exception) -> Response:
    kept = await _typed(request)
    if not kept:
        return RedirectResponse("/work", 303)  # which asks for it, and goes on from there
    room = room_of(request)
    return consent_page(room, 409, room.say("consent.first"), kept)


async def _user_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, UserError)
    room, kept = room_of(request), await _typed(request)
    for_workers = not _is_staffs(request) and not request.url.path.startswith("/v1/")
    text = refusal(room.say, error) if for_workers else sentence(error)
    return room.notice(409, room.say("problem.title"), text, _way_on(request), kept)


BUSY_SECONDS = 5
"""After which a page that could not write may try again."""


async def _store_busy(request: Request, error: Exception) -> Response:
    room, kept = room_of(request), await _typed(request)
    way = None if _is_staffs(request) else ("/work#now", room.say("page.try_again"))
    reply = v1_error(request, 503, "the store is being written to by another program; send the request again")
    reply = reply or room.notice(503, room.say("notice.wait_title"), room.say("notice.wait"), way, kept)
    reply.headers["Retry-After"] = str(BUSY_SECONDS)
    return reply


async def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else getattr(error, "status_code", 404)
    room, kept = room_of(request), await _typed(request)
    title, text = room.say("notice.nothing_title"), room.say("notice.nothing")
    reply = v1_error(request, status, "there is nothing here, or not for this method")
    return reply or room.notice(status, title, text, _way_on(request), kept)


def _bad_form(request: Request, error: Exception) -> Response:
    room = room_of(request)
    way = None if _is_staffs(request) else ("/work#now", room.say("page.go_on"))
    return room.notice(422, room.say("problem.title"), room.say("notice.form"), way)


def _our_fault(request: Request, error: Exception) -> Response:
    room = room_of(request)
    way = None if _is_staffs(request) else ("/work#now", room.say("page.try_again"))
    reply = v1_error(request, 500, "something went wrong here")
    return reply or room.notice(500, room.say("problem.title"), room.say("notice.fault"), way)


def _way_on(request: Request) -> tuple[str, str] | None:
    return ("/work#now", room_of(request).say("page.go_on")) if request.url.path.startswith("/work") else None


def _is_staffs(request: Request) -> bool:
    return request.url.path.startswith(("/researcher", "/review", "/staff"))
