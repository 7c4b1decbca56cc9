"""Signing in and out, one-time links, and one's own account: its password and the browsers that are signed in.

Every page of the staff that is asked for without a session shows the sign-in form in its place, and leads back to where
one wanted to go. Left out: other people's accounts (``settings_routes.py``) and single sign-on (``oidc_routes.py``).
"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.collect.fields import Field
from concordant.collect.room import NotSignedIn, Room, RoomHere, SignedIn, SignedInHere, signed_in_of, staff_cookie
from concordant.collect.throttle import Throttle
from concordant.errors import UserError
from concordant.store.passwords import LONGEST, SHORTEST, fold_login
from concordant.store.sign_ins import change_password, claim_account, sign_in
from concordant.store.staff import Role, Staff, member
from concordant.store.staff_links import Purpose, choose_password_by_link, open_link, sign_in_by_link
from concordant.store.staff_sessions import end_other_sessions, end_session, sessions_of

router = APIRouter(prefix="/staff")
ACCOUNT = "/staff/account"
HOME = {Role.RESEARCHER: "/researcher", Role.REVIEWER: "/review"}
"""Where signing in leads, when one did not want to go anywhere else."""

_WRONG = "The login or the password is not right."


@router.get("/sign-in")
def sign_in_form(request: Request, room: RoomHere, next: str = "") -> Response:
    """The form, or on to where one wanted to go."""
    signed_in = visitor(request, room)
    if signed_in is None:
        return sign_in_page(room, next)
    return RedirectResponse(_onwards(next, signed_in.staff), 303)


@router.post("/sign-in")
def enter(request: Request, room: RoomHere, login: Field = "", password: Field = "", next: Field = "") -> Response:
    """Sign in. An unknown login takes as long as a wrong password, and gets the same answer."""
    throttle: Throttle = request.app.state.throttle
    counted = fold_login(login)[:LONGEST]
    seconds = throttle.wait("sign_in_login", counted)
    if seconds is not None:
        text = f"Too many wrong passwords for this login. Try again in {-(-seconds // 60)} min."
        answer = sign_in_page(room, next, login, text, 429)
        answer.headers["Retry-After"] = str(seconds)
        return answer
    found = sign_in(room.db, login, password, agent(request), room.terms)
    if found is None:
        return sign_in_page(room, next, login, _WRONG, 403)
    throttle.forget("sign_in_login", counted)
    return signed_in_answer(request, room, found, next)


@router.post("/sign-out")
def leave(request: Request, room: RoomHere) -> Response:
    """End the session of this browser."""
    signed_in = visitor(request, room)
    if signed_in is not None:
        end_session(room.db, signed_in.staff.id, signed_in.session)
    answer = RedirectResponse("/staff/sign-in", 303)
    set_staff_cookie(request, answer, "", 0)
    return answer


@router.get("/link/{token}")
def follow(token: str, request: Request, room: RoomHere) -> Response:
    """A one-time link: signs in, or asks for a password."""
    link = open_link(room.db, token)
    if link is None:
        signed_in = visitor(request, room)
        if signed_in is not None:  # opened again, where it has done its work
            return RedirectResponse(_onwards("", signed_in.staff), 303)
        return link_over(room)
    if link.purpose is Purpose.PASSWORD:
        return _password_page(room, token, link.member.staff.name, link.member.login)
    try:
        return signed_in_answer(request, room, sign_in_by_link(room.db, token, agent(request), room.terms), "")
    except UserError:  # a second click came first
        return link_over(room)


@router.post("/link/{token}")
def choose_password(token: str, request: Request, room: RoomHere, password: Field = "", again: Field = "") -> Response:
    """Choose a password by an invitation, and come in."""
    link = open_link(room.db, token)
    if link is None or link.purpose is not Purpose.PASSWORD:
        return link_over(room)
    try:
        _require_same(password, again)
        found = choose_password_by_link(room.db, token, password, agent(request), room.terms)
    except UserError as error:
        return _password_page(room, token, link.member.staff.name, link.member.login, sentence(error))
    return signed_in_answer(request, room, found, "")


@router.get("/account")
def account(room: RoomHere, signed_in: SignedInHere, done: str = "") -> HTMLResponse:
    """One's own account."""
    said = {"password": "Your password is set; every other browser is signed out.", "ended": "Signed out there."}
    return _account_page(room, signed_in, said=said.get(done, ""))


@router.post("/account/password")
def new_password(
    room: RoomHere, signed_in: SignedInHere, old: Field = "", password: Field = "", again: Field = ""
) -> Response:
    """Change one's password."""
    try:
        _require_same(password, again)
        change_password(room.db, signed_in.staff.id, old, password, signed_in.session)
    except UserError as error:
        return _account_page(room, signed_in, sentence(error), status=422)
    return RedirectResponse(f"{ACCOUNT}?done=password", 303)


@router.post("/account/claim")
def claim(
    room: RoomHere,
    signed_in: SignedInHere,
    name: Field = "",
    login: Field = "",
    password: Field = "",
    again: Field = "",
) -> Response:
    """Make the account that this machine's link opened one's own: name, login, password."""
    try:
        _require_same(password, again)
        claim_account(room.db, signed_in.staff.id, name, login, password, signed_in.session)
    except UserError as error:
        return _account_page(room, signed_in, sentence(error), typed=(name, login), status=422)
    return RedirectResponse(f"{ACCOUNT}?done=password", 303)


@router.post("/account/sessions")
def sign_out_elsewhere(room: RoomHere, signed_in: SignedInHere, session: Field = "") -> Response:
    """End one session of one's own; without an id, all but this one."""
    if session:
        end_session(room.db, signed_in.staff.id, session)
    else:
        end_other_sessions(room.db, signed_in.staff.id, signed_in.session)
    return RedirectResponse(f"{ACCOUNT}?done=ended", 303)


def visitor(request: Request, room: Room) -> SignedIn | None:
    """Who is signed in in this browser, where that is not required."""
    try:
        return signed_in_of(request, room)
    except NotSignedIn:
        return None


def sign_in_page(room: Room, next: str, login: str = "", problem: str = "", status: int = 200) -> HTMLResponse:
    """The form to sign in, which leads on to ``next``."""
    sign_on = room.staff.oidc.label if room.staff.oidc.issuer else ""
    where = next if is_own_address(next) else ""
    return room.page("sign_in.html", status, next=where, login=login, problem=problem, sign_on=sign_on)


def signed_in_answer(request: Request, room: Room, found: tuple[Staff, str], next: str) -> Response:
    """On to where one wanted to go, with the session in a cookie; the browser's old session ends."""
    before = visitor(request, room)
    if before is not None:
        end_session(room.db, before.staff.id, before.session)
    staff, token = found
    answer = RedirectResponse(_onwards(next, staff), 303)
    set_staff_cookie(request, answer, token, int(room.terms.longest.total_seconds()))
    return answer


def set_staff_cookie(request: Request, answer: Response, token: str, seconds: int) -> None:
    """The cookie of a staff session; with 0 seconds it is taken away."""
    secure = request.url.scheme == "https"
    answer.set_cookie(staff_cookie(request), token, seconds, path="/", httponly=True, samesite="lax", secure=secure)


def link_over(room: Room) -> HTMLResponse:
    """What a used or unknown link shows."""
    text = (
        "Each link works once and for a limited time. Sign in with your password, or ask a researcher for a new link. "
        "On the machine where the programme runs, 'concordant staff reset LOGIN' prints one, and so does "
        "'concordant serve' as long as nobody has a password."
    )
    return room.page("staff_notice.html", 404, title="This link has been used", text=text, link="/staff/sign-in")


def is_own_address(text: str) -> bool:
    """Whether an address leads to a page of ours: a path, and nothing that a browser reads as another site's."""
    return text.startswith("/") and not text.startswith("//") and "\\" not in text and text.isprintable()


def agent(request: Request) -> str:
    """What the browser calls itself."""
    return "".join(letter for letter in request.headers.get("user-agent", "") if letter.isprintable())


def sentence(error: UserError) -> str:
    """The line of an error as a sentence."""
    text = str(error)
    return f"{text[:1].upper()}{text[1:]}."


def _onwards(next: str, staff: Staff) -> str:
    if next and is_own_address(next) and not next.startswith("/staff/sign-in"):
        return next
    return HOME[staff.role]


def _require_same(password: str, again: str) -> None:
    if password != again:
        raise UserError("the two passwords differ; type the same one twice")


def _password_page(room: Room, token: str, name: str, login: str, problem: str = "") -> HTMLResponse:
    values = {"token": token, "name": name, "login": login, "problem": problem, "shortest": SHORTEST}
    return room.page("staff_link.html", 422 if problem else 200, **values)


def _account_page(
    room: Room,
    signed_in: SignedIn,
    problem: str = "",
    said: str = "",
    typed: tuple[str, str] = ("", ""),
    status: int = 200,
) -> HTMLResponse:
    return room.page(
        "account.html",
        status,
        here="account",
        for_reviewer=signed_in.staff.role is Role.REVIEWER,
        member=member(room.db, signed_in.staff.id),
        this=signed_in.session,
        sessions=sessions_of(room.db, signed_in.staff.id, room.terms),
        claiming=not signed_in.has_means,
        problem=problem,
        said=said,
        typed=typed,
        shortest=SHORTEST,
    )
