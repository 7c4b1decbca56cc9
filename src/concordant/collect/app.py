"""The web application: routes, the guard around them, and kind pages for everything that goes wrong (paper §2.1).

Every route that touches the store is a plain function, so that it runs in a thread and never holds up the others. Left
out: accounts, rate limits, a review queue.
"""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

from concordant.collect import researcher_routes, worker_routes
from concordant.collect.guard import Guard
from concordant.collect.replies_watch import RepliesWatch, events
from concordant.collect.room import NotInvited, Room, RoomHere, WorkerHere, room_of, static_files
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
    for part in (router, worker_routes.router, researcher_routes.router):
        app.include_router(part)
    app.add_exception_handler(NotInvited, _not_invited)
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
    return room.notice(
        200,
        "Concordant",
        "Here people compare replies of language models. Open the link that was sent to you to begin.",
    )


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
    body: AsyncIterator[str] = events(watch, comparison, only == "end", room.stopping)
    # Proxies that gather a response before passing it on are asked not to.
    return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})


def _not_invited(request: Request, error: Exception) -> Response:
    assert isinstance(error, NotInvited)
    who = "The researcher's link is printed by 'concordant serve'." if error.staff else "It was sent to you."
    text = f"This page opens with your own link. {who} Open it once in this browser; after that this page knows you."
    return room_of(request).notice(403, "Open your own link first", text)


def _user_error(request: Request, error: Exception) -> Response:
    text = str(error)
    way = ("/work#now", "Go on") if request.url.path.startswith("/work") else None
    return room_of(request).notice(409, "That did not work", f"{text[:1].upper()}{text[1:]}.", way)


def _http_error(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else getattr(error, "status_code", 404)
    way = ("/work#now", "Go on") if request.url.path.startswith("/work") else None
    return room_of(request).notice(status, "There is nothing here", "Go back, or open your own link again.", way)


def _bad_form(request: Request, error: Exception) -> Response:
    text = "Something in the form was missing. What was saved before is still there."
    return room_of(request).notice(422, "That did not work", text, ("/work#now", "Go on"))


def _our_fault(request: Request, error: Exception) -> Response:
    text = (
        "Something broke on our side, not on yours. What was saved before is still there. Please try again in a moment."
    )
    return room_of(request).notice(500, "That did not work", text, ("/work#now", "Try again"))
