"""The Settings page: who is on the staff. A researcher invites, changes roles, closes accounts, makes new links.

A link is shown once, on the answer to the form that made it. Left out: settings of the programme itself, which stand in
``concordant.toml``.
"""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from concordant.collect.fields import Field
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.staff_routes import sentence
from concordant.errors import UserError
from concordant.store.staff import Member, Role, Staff, add_member, member, members, set_active, set_role
from concordant.store.staff_links import INVITATION_HOLDS, Purpose, make_link

router = APIRouter(prefix="/researcher/settings")


@router.get("")
def settings(room: RoomHere, staff: ResearcherHere) -> HTMLResponse:
    """The members of staff."""
    return _page(room, staff)


@router.post("/members")
def invite(
    request: Request, room: RoomHere, staff: ResearcherHere, name: Field = "", login: Field = "", role: Field = ""
) -> Response:
    """Add a member; the page shows the link with which they choose a password."""
    try:
        added = add_member(room.db, staff.id, name, login, _role(role))
        return _page(room, staff, link=_link(request, room, staff, added), to=added)
    except UserError as error:
        return _page(room, staff, problem=sentence(error), typed=(name, login, role))


@router.post("/members/{staff_id}/link")
def new_link(staff_id: str, request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """A link with which a member chooses a new password; the old one holds until then."""
    try:
        of = member(room.db, staff_id)
        return _page(room, staff, link=_link(request, room, staff, of), to=of)
    except UserError as error:
        return _page(room, staff, problem=sentence(error))


@router.post("/members/{staff_id}/role")
def change_role(staff_id: str, room: RoomHere, staff: ResearcherHere, role: Field = "") -> Response:
    """Make a member a researcher or a reviewer."""
    try:
        set_role(room.db, staff.id, staff_id, _role(role))
    except UserError as error:
        return _page(room, staff, problem=sentence(error))
    return RedirectResponse("/researcher/settings", 303)


@router.post("/members/{staff_id}/active")
def open_or_close(staff_id: str, room: RoomHere, staff: ResearcherHere, active: Field = "") -> Response:
    """Close an account, which signs it out everywhere at once, or with ``active`` open it again."""
    try:
        set_active(room.db, staff.id, staff_id, bool(active))
    except UserError as error:
        return _page(room, staff, problem=sentence(error))
    return RedirectResponse("/researcher/settings", 303)


def _role(text: str) -> Role:
    if text not in list(Role):
        raise UserError("choose a role: researcher or reviewer")
    return Role(text)


def _link(request: Request, room: Room, staff: Staff, of: Member) -> str:
    token = make_link(room.db, staff.id, of.staff.id, Purpose.PASSWORD)
    return f"{str(request.base_url).rstrip('/')}/staff/link/{token}"


def _page(
    room: Room,
    staff: Staff,
    link: str = "",
    to: Member | None = None,
    problem: str = "",
    typed: tuple[str, str, str] = ("", "", ""),
) -> HTMLResponse:
    return room.page(
        "settings.html",
        409 if problem else 200,
        here="settings",
        members=members(room.db),
        me=staff.id,
        link=link,
        to=to,
        problem=problem,
        typed=typed,
        days=INVITATION_HOLDS.days,
    )
