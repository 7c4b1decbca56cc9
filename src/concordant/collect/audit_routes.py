"""What staff did, newest first, in words, with links to what it was done to; by who, what, about what and when."""

from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from concordant.collect.asked import Asked
from concordant.collect.room import ResearcherHere, RoomHere
from concordant.collect.sheet import Address, Column, Row, Sheet, csv_file, desk
from concordant.store.audit import Act, ActQuery, all_acts, find_acts, known_acts
from concordant.store.staff import staff_names
from concordant.store.whereabouts import Whereabouts, whereabouts

router = APIRouter(prefix="/researcher")
AT_ONCE = 100
"""Acts on a page."""


@router.get("/audit")
def audit(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """A page of the log."""
    asked = Asked(request)
    query = _query(asked)
    found = find_acts(room.db, query, AT_ONCE, asked.text("after"))
    known = whereabouts(room.db, {act.about for act in found.acts})
    names = staff_names(room.db)
    rows = [_row(act, known.get(act.about), names) for act in found.acts]
    who, what = known_acts(room.db)
    address = Address.of(request)
    return desk(
        request,
        room,
        "audit",
        [Sheet("acts", "Audit log", _columns(address), rows, csv=address.but("/researcher/audit.csv", after=""))],
        asked=asked,
        who=[(one, names.get(one, one)) for one in who],
        what=what,
        first_page=address.but(after="") if asked.text("after") else "",
        older=address.but(after=found.after) if found.after else "",
        is_filtered=bool(address.fields),
    )


@router.get("/audit.csv")
def audit_file(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """All that was asked for, as a file."""
    names = staff_names(room.db)
    rows: Iterator[Row] = (_row(act, None, names) for act in all_acts(room.db, _query(Asked(request))))
    return csv_file("audit", ("at", "who", "staff_id", "act", "about", "detail"), rows)


def in_words(detail: dict[str, Any]) -> str:
    """``format: hh; filter: objective helpful, study pilot``. What is empty says nothing, so it is left out."""
    return "; ".join(
        f"{_word(key)}: {_value(value)}" for key, value in detail.items() if value not in (None, "", [], {})
    )


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return (
            ", ".join(f"{_word(key)} {_value(one)}" for key, one in value.items() if one not in (None, "", [], {}))
            or "none"
        )
    if isinstance(value, list):
        return " and ".join(_value(one) for one in value)
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _word(key: str) -> str:
    return key.replace("_", " ")


def _query(asked: Asked) -> ActQuery:
    return ActQuery(asked.text("who"), asked.text("what"), asked.text("about"), asked.day("from"), asked.day("to"))


def _columns(address: Address) -> list[Column]:
    return [
        Column("at", "When (UTC)", "when"),
        Column("who", "Who", link=lambda row: address.but(who=row["staff_id"], after="")),
        Column("act", "Did", link=lambda row: address.but(what=row["act"], after="")),
        Column("name", "About", "long", link=lambda row: row["link"]),
        Column("detail", "In detail", "long"),
    ]


def _row(act: Act, found: Whereabouts | None, names: Mapping[str, str]) -> dict[str, Any]:
    return {
        "at": act.at,
        "who": names.get(act.staff_id, act.staff_id),
        "staff_id": act.staff_id,
        "act": act.act,
        "about": act.about,
        "name": _about(act, found, names),
        "link": "" if found is None else _link(found),
        "detail": in_words(act.detail),
    }


def _about(act: Act, found: Whereabouts | None, names: Mapping[str, str]) -> str:
    if found is not None:
        return f"{found.what} {_short(found.name) or act.about}"
    return f"staff {names[act.about]}" if act.about in names else act.about


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _link(found: Whereabouts) -> str:
    """Where it is shown."""
    at = quote(found.at, safe="")
    return {
        "conversation": f"/researcher/conversations/{at}",
        "comparison": f"/researcher/conversations/{at}",
        "worker": f"/researcher/workers/{at}",
        "model": f"/researcher/models#{at}",
        "deployment": f"/researcher/models#{at}",
        "run": f"/researcher/runs/{at}",
        "data set": f"/researcher/data#{at}",
    }[found.what]
