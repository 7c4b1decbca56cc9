"""The two addresses of single sign-on: leaving for the provider, and coming back.

What a sign-on began with is in a cookie of ten minutes, so that only the browser that began can end it.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict
from functools import partial

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import RedirectResponse, Response

from concordant.collect.oidc import Flow, begin, finish
from concordant.collect.room import Room, RoomHere, aside
from concordant.collect.staff_routes import agent, is_own_address, sentence, signed_in_answer
from concordant.errors import UserError
from concordant.store.sign_ins import sign_on
from concordant.store.staff import Staff

router = APIRouter(prefix="/staff/oidc")
COOKIE = "concordant_sign_on"
COOKIE_SECONDS = 600


@router.get("")
async def go(request: Request, room: RoomHere, next: str = "") -> Response:
    """To the provider."""
    _require_set(room)
    try:
        to = next if is_own_address(next) else ""
        address, flow = await aside(lambda: begin(room.staff.oidc, _back(request), to))
    except UserError as error:
        return _refused(room, error, 502)
    answer = RedirectResponse(address, 303)
    _remember(request, answer, urlsafe_b64encode(json.dumps(asdict(flow)).encode()).decode(), COOKIE_SECONDS)
    return answer


@router.get("/back")
async def back(request: Request, room: RoomHere) -> Response:
    """From the provider: checks what it says, and signs in."""
    _require_set(room)
    flow = _begun(request)
    try:
        if flow is None:
            raise UserError("this sign-in was begun in another browser, or more than ten minutes ago; begin again")
        found = await aside(partial(_signed_on, request, room, flow))
    except UserError as error:
        return _refused(room, error, 403)
    answer = await aside(partial(signed_in_answer, request, room, found, flow.next))
    _remember(request, answer, "", 0)
    return answer


def _signed_on(request: Request, room: Room, flow: Flow) -> tuple[Staff, str]:
    vouched = finish(room.staff.oidc, flow, request.query_params, _back(request))
    return sign_on(room.db, vouched, agent(request), room.terms)


def _require_set(room: Room) -> None:
    if not room.staff.oidc.issuer:
        raise HTTPException(404)


def _back(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}/staff/oidc/back"


def _begun(request: Request) -> Flow | None:
    """What the cookie holds; it is the browser's own, so it may hold anything."""
    try:
        values = json.loads(urlsafe_b64decode(request.cookies.get(_name(request), "")))
        return Flow(*(str(values[key]) for key in ("state", "nonce", "verifier", "next")))
    except (ValueError, KeyError, TypeError):
        return None


def _remember(request: Request, answer: Response, value: str, seconds: int) -> None:
    secure = request.url.scheme == "https"
    answer.set_cookie(_name(request), value, seconds, path="/", httponly=True, samesite="lax", secure=secure)


def _name(request: Request) -> str:
    return f"__Host-{COOKIE}" if request.url.scheme == "https" else COOKIE


def _refused(room: Room, error: UserError, status: int) -> Response:
    title = "Single sign-on did not work"
    return room.page("staff_notice.html", status, title=title, text=sentence(error), link="/staff/sign-in")
