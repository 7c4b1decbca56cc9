"""The web application: routes, the guard around them, and kind pages for everything that goes wrong (paper §2.1).

Every route that touches the store is a plain function, so that it runs in a thread and never holds up the others. Left
out: accounts, rate limits, a review queue.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse

from concordant.collect import (
    day_routes,
    letter_routes,
    panel,
    pay_routes,
    researcher_routes,
    worker_routes,
    workforce_routes,
)
from concordant.collect.guard import Guard
from concordant.collect.replies_watch import RepliesWatch, Telling, events
from concordant.collect.room import NotAgreed, NotInvited, Room, RoomHere, WorkerHere, room_of, static_files
from concordant.collect.worker_routes import own_talk_of
from concordant.errors import UserError

router = APIRouter()

HEALTHY = "concordant\n"
"""What /healthz answers."""


def create_app(room: Room) -> FastAPI:
    """The application over a room."""
    app = FastAPI(title="Concordant", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.room = room
    app.state.watch = RepliesWatch(room.db, room.heartbeat)
    app.add_middleware(Guard)
    for part in (router, panel.router, worker_routes.router, day_routes.router, researcher_routes.router):
        app.include_router(part)
    for part in (workforce_routes.router, pay_routes.router, letter_routes.router):
        app.include_router(part)
    app.add_exception_handler(NotInvited, _not_invited)
    app.add_exception_handler(NotAgreed, _not_agreed)
    app.add_exception_handler(UserError, _user_error)
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
    own_talk_of(room, worker, comparison_id)
    return comparison_id


@router.get("/work/stream/{comparison_id}")
async def stream(
    request: Request, room: RoomHere, comparison: Annotated[str, Depends(_own_comparison)], only: str = ""
) -> StreamingResponse:
    """Both replies while they are written. ``only=end``: just when they are complete."""
    watch: RepliesWatch = request.app.state.watch
    telling = Telling(only == "end", room.config.show, room.say, room.stopping)
    body: AsyncIterator[str] = events(watch, comparison, telling)
    # Proxies that gather a response before passing it on are asked not to.
    return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _not_invited(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotInvited)
    room = room_of(request)
    return room.notice(
        403, room.say("notice.link_title"), room.say("notice.link_staff" if error.staff else "notice.link")
    )


def _not_agreed(request: Request, error: Exception) -> Response:
    return RedirectResponse("/work", 303)  # which asks for it, and goes on from there


def _user_error(request: Request, error: Exception) -> Response:
    text = str(error)
    room = room_of(request)
    return room.notice(409, room.say("problem.title"), f"{text[:1].upper()}{text[1:]}.", _way_on(request))


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else getattr(error, "status_code", 404)
    room = room_of(request)
    return room.notice(status, room.say("notice.nothing_title"), room.say("notice.nothing"), _way_on(request))


def _bad_form(request: Request, error: Exception) -> Response:
    room = room_of(request)
    return room.notice(422, room.say("problem.title"), room.say("notice.form"), ("/work#now", room.say("page.go_on")))


def _our_fault(request: Request, error: Exception) -> Response:
    room = room_of(request)
    way = ("/work#now", room.say("page.try_again"))
    return room.notice(500, room.say("problem.title"), room.say("notice.fault"), way)


def _way_on(request: Request) -> tuple[str, str] | None:
    return ("/work#now", room_of(request).say("page.go_on")) if request.url.path.startswith("/work") else None
