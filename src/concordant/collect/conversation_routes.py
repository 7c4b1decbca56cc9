"""Conversations: found by words and filters, page by page, as a file; and one with everything that was recorded."""

from collections.abc import Iterator
from dataclasses import fields
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response
from markupsafe import Markup

from concordant.collect.asked import Asked
from concordant.collect.reply_text import to_html
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.sheet import Address, Column, Row, Sheet, csv_file, desk, desk_page
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.store.conversation_search import Query, Sort, State, find, find_all, neighbours
from concordant.store.overview import ShownReply, TalkSummary, TurnRecord, talk_record
from concordant.store.people import WorkerKind, workers
from concordant.store.registry import snapshots

router = APIRouter(prefix="/researcher")
AT_ONCE = 50
"""Conversations on a page."""


@router.get("/conversations")
def conversations(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """A page of those that were asked for."""
    asked = Asked(request)
    query = query_of(asked)
    found = find(room.db, query, AT_ONCE, asked.text("after"), asked.text("before"))
    address = Address.of(request)
    rows = [_row(talk) for talk in found.talks]
    first, last = (found.talks[0].id, found.talks[-1].id) if found.talks else ("", "")
    filters = {field.name: getattr(query, field.name) for field in fields(query) if field.name != "sort"}
    return desk(
        request,
        room,
        "conversations",
        [
            Sheet(
                "talks",
                "Conversations",
                _columns(address),
                rows,
                csv=address.but(f"{address.path}.csv", after="", before=""),
            )
        ],
        asked=asked,
        is_filtered=any(value not in (None, "") for value in filters.values()),
        newer=address.but(before=first, after="") if found.before else "",
        older=address.but(after=last, before="") if found.after else "",
        sort=query.sort.value,
        models=[one.label for one in snapshots(room.db)],
        worker=_name_of(room, query.worker),
    )


@router.get("/conversations.csv")
def conversations_file(request: Request, room: RoomHere, staff: ResearcherHere) -> Response:
    """All that were asked for, as a file."""
    rows: Iterator[Row] = (_row(talk) for talk in find_all(room.db, query_of(Asked(request))))
    return csv_file("conversations", _CSV, rows)


@router.get("/conversations/{talk_id}")
def conversation(request: Request, talk_id: str, room: RoomHere, staff: ResearcherHere) -> Response:
    """One conversation, with both replies of each turn, who wrote them, what was chosen, and what else is known.

    With a query of the list, "before" and "after" lead through what it found.
    """
    talk_id = talk_id.replace("\x00", "")
    try:
        talk, turns = talk_record(room.db, talk_id)
    except UserError:
        raise HTTPException(404) from None
    address = Address.of(request)
    before, after = neighbours(room.db, query_of(Asked(request)), talk_id)
    return desk_page(
        request,
        room,
        "conversation",
        talk=talk,
        turns=[_turn(turn) for turn in turns],
        back=address.but("/researcher/conversations"),
        before=address.but(f"/researcher/conversations/{before}") if before else "",
        after=address.but(f"/researcher/conversations/{after}") if after else "",
    )


def query_of(asked: Asked) -> Query:
    """What a page's address asks for.

    Raises:
        UserError: a field means nothing.
    """
    edited = asked.text("edited")
    if edited not in ("", "yes", "no"):
        raise UserError(f"edited {edited!r} is not known here; it is yes or no")
    return Query(
        words=asked.text("words"),
        objective=asked.choice("objective", Objective),
        study=asked.maybe("study"),
        model=asked.text("model"),
        worker=asked.text("worker"),
        kind=asked.choice("kind", WorkerKind),
        first=asked.day("from"),
        last=asked.day("to"),
        chosen=asked.day("chosen"),
        state=asked.choice("state", State),
        strength=asked.number("strength", 1, 4),
        edited=None if not edited else edited == "yes",
        rating=asked.number("rating", 1, 5),
        sort=asked.choice("sort", Sort) or Sort.NEWEST,
    )


_CSV = (
    *("conversation", "began", "ended", "state", "worker", "worker_id", "kind", "objective", "study", "choices"),
    *("turns", "rating", "harm", "actionability", "comment", "models", "opening"),
)


def _columns(address: Address) -> list[Column]:
    kept = [(name, value) for name, value in address.fields if name not in ("after", "before")]
    query = f"?{urlencode(kept)}" if kept else ""
    return [
        Column("began", "Began (UTC)", "when"),
        Column(
            "opening", "Opening", "long", link=lambda row: f"/researcher/conversations/{row['conversation']}{query}"
        ),
        Column("worker", "Worker", link=lambda row: address.but(worker=row["worker_id"], after="", before="")),
        Column("kind", "Kind"),
        Column("work", "Work"),
        Column(
            "study", "Study", link=lambda row: row["study"] and address.but(study=row["study"], after="", before="")
        ),
        Column("done", "Choices", "n"),
        Column("state", "State"),
        Column("rating", "Rating", "n"),
        Column("models", "Models"),
    ]


def _row(talk: TalkSummary) -> dict[str, Any]:
    return {
        "conversation": talk.id,
        "began": talk.created,
        "ended": talk.ended,
        "state": talk.state,
        "worker": talk.worker,
        "worker_id": talk.worker_id,
        "kind": talk.kind.value,
        "objective": talk.objective.value,
        "work": "red team" if talk.objective is Objective.HARMLESS else "helpful",
        "study": talk.study,
        "choices": talk.choices,
        "turns": talk.turns,
        "done": f"{talk.choices} of {talk.turns}",
        "rating": talk.rating,
        "harm": talk.harm,
        "actionability": talk.actionability,
        "comment": talk.comment,
        "models": talk.models,
        "opening": talk.opening or "not begun",
    }


def _name_of(room: Room, worker_id: str) -> str:
    """A worker's name, for the filter that shows an id."""
    if not worker_id:
        return ""
    return next((one.name for one in workers(room.db) if one.id == worker_id), "nobody known")


def _turn(turn: TurnRecord) -> dict[str, Any]:
    rows = turn.rows
    assert rows is not None
    return {
        "message": turn.message,
        "replies": [_reply(turn, side, reply) for side, reply in (("a", turn.a), ("b", turn.b))],
        "strength": turn.strength,
        "rewritten": turn.rewritten,
        "comparison": rows.comparison.id,
        "facts": _facts(turn),
    }


def _reply(turn: TurnRecord, side: str, reply: ShownReply) -> dict[str, Any]:
    row = reply.row
    assert row is not None
    facts = [("Sampled", f"{row.tokens} tokens" if row.tokens is not None else "")]
    if row.finished is not None:
        facts.append(("Ended", "by itself" if row.finished else "cut at the limit"))
    facts += [
        ("Score", "" if row.score is None else f"{row.score:.3f}"),
        ("Written", "" if row.done is None else f"{row.done:%Y-%m-%d %H:%M:%S}"),
        ("Writers that began it", "" if row.attempt <= 1 else str(row.attempt)),
        ("Drawn", "first" if row.place == 0 else "second"),
        ("Seed", str(row.seed)),
    ]
    return {
        "letter": side.upper(),
        "model": reply.model,
        "status": reply.status,
        "html": Markup(to_html(reply.text)),
        "clicked": turn.clicked == side,
        "facts": [(name, value) for name, value in facts if value],
    }


def _facts(turn: TurnRecord) -> list[tuple[str, str]]:
    """What else is recorded of a turn: when, how long, which button."""
    rows = turn.rows
    assert rows is not None
    facts = [("Said", f"{rows.message.created:%Y-%m-%d %H:%M:%S} UTC")]
    if rows.choice is None:
        return facts
    complete = max((one.done for one in rows.replies if one.done is not None), default=None)
    facts.append(("Chosen", f"{rows.choice.created:%Y-%m-%d %H:%M:%S} UTC"))
    if complete is not None:
        facts.append(("After both replies were complete", f"{(rows.choice.created - complete).total_seconds():.0f} s"))
    facts.append(("Button", f"{rows.choice.button} of 8, from the left"))
    if rows.choice.number > 1:
        facts.append(("Times chosen", f"{rows.choice.number}; the earlier ones are on record"))
    return facts
