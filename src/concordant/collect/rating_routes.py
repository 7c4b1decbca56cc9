"""The board as people's choices have it now, for helpful and for red-team work apart (paper §2.4, B.5).

From the ledger's counts, so it is right after every vote. Intervals are of the sandwich kind with whole workers as
units; the report's, of ``evaluate elo``, draw whole workers anew. Left out: strengths, imported games.
"""

from collections import Counter
from dataclasses import dataclass
from itertools import combinations
from typing import Any
from urllib.parse import urlencode

from fastapi import APIRouter, Request
from fastapi.responses import Response

from concordant.bradley_terry import interval95
from concordant.collect.asked import Asked
from concordant.collect.ledger_here import LedgerHere
from concordant.collect.room import ResearcherHere, Room, RoomHere
from concordant.collect.sheet import Column, Row, Sheet, desk
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.live_board import FEWEST_WORKERS, LiveBoard, Vote
from concordant.store.ledger import Books, admitted
from concordant.store.people import WorkerKind

router = APIRouter(prefix="/researcher")


@dataclass(frozen=True, slots=True)
class Board:
    """A board and what a page says of it.

    Attributes:
        objective: helpful or harmless.
        anchor: label of the model at 0; "": nobody has voted.
        votes: how many are in it.
        live: the fitted board; None: nobody has voted.
        apart: groups of models that no game links with the anchor's.
    """

    objective: Objective
    anchor: str = ""
    votes: int = 0
    live: LiveBoard | None = None
    apart: tuple[tuple[str, ...], ...] = ()

    @property
    def heading(self) -> str:
        return "Red team: the less harmful reply wins" if self.objective is Objective.HARMLESS else "Helpful"


@router.get("/ratings")
def ratings(request: Request, room: RoomHere, staff: ResearcherHere, ledger: LedgerHere) -> Response:
    """Both boards, and any two models of each."""
    asked = Asked(request)
    with ledger.open() as every:
        books = admitted(room.db, every)
        kind = asked.choice("kind", WorkerKind)
        boards = [board_of(books, objective, asked.text("anchor"), kind) for objective in Objective]
        until, known = books.until, sorted(books.models.labels.values())
    sheets = [sheet for board in boards for sheet in _sheets(board, asked)]
    return desk(
        request,
        room,
        "ratings",
        sheets,
        asked=asked,
        boards=boards,
        models=known,
        until=until,
        fewest=FEWEST_WORKERS,
        has_report=_has_report(room),
    )


def board_of(books: Books, objective: Objective, anchor: str = "", kind: str | None = None) -> Board:
    """The board of one kind of work.

    Args:
        books: the ledger's.
        objective: helpful or harmless.
        anchor: label of the model at 0; "", or one that never met another: the oldest model that did.
        kind: only votes of such workers.

    Raises:
        UserError: there is no model ``anchor``.
    """
    labels = books.models.labels
    if anchor and anchor not in labels.values():
        raise UserError(f"there is no model {anchor!r}; the page of models lists them")
    votes: Counter[Vote] = Counter()
    for verdict, times in books.verdicts.items():
        if verdict.objective != objective:
            continue
        if kind is None or books.workers[verdict.worker][1] == kind:
            side = 1 if verdict.left else -1
            votes[labels[verdict.winner], labels[verdict.loser], side, verdict.worker] += times
    met = {label for winner, loser, _, _ in votes for label in (winner, loser)}
    if not met:
        return Board(objective)
    at_zero = anchor if anchor in met else next(label for label in labels.values() if label in met)
    live = LiveBoard(at_zero)
    live.count(votes)
    apart = tuple(tuple(group) for group in live.groups if at_zero not in group)
    return Board(objective, at_zero, votes.total(), live, apart)


def _has_report(room: Room) -> bool:
    return room.report is not None and (room.report / "index.html").is_file()


def _sheets(board: Board, asked: Asked) -> list[Sheet]:
    name = board.objective.value
    return [
        Sheet(f"board-{name}", board.heading, _BOARD, _ratings(board), order="-elo"),
        Sheet(f"pairs-{name}", f"{board.heading}: any two", _PAIRS, _pairs(board, asked), order="-games"),
    ]


def _talks(row: Row, model: str) -> str:
    return f"/researcher/conversations?{urlencode({'objective': row['objective'], 'model': row[model]})}"


_BOARD = (
    Column("model", "Model", link=lambda row: _talks(row, "model")),
    Column("elo", "Elo", "n"),
    Column("interval", "95 % interval", "range"),
    Column("low", ""),
    Column("high", ""),
    Column("games", "Games", "n"),
    Column("objective", ""),
)
_PAIRS = (
    Column("model", "Model", link=lambda row: _talks(row, "model")),
    Column("other", "Against", link=lambda row: _talks(row, "other")),
    Column("games", "Games", "n"),
    Column("wins", "Won", "n"),
    Column("win_rate", "Win rate, fitted", "share"),
    Column("interval", "95 % interval", "range"),
    Column("low", ""),
    Column("high", ""),
    Column("objective", ""),
)


def _ratings(board: Board) -> list[dict[str, Any]]:
    if board.live is None:
        return []
    strange = {model for group in board.apart for model in group}
    rows = []
    for rating in board.live.ratings():
        apart = rating.model in strange
        ends = None if rating.error is None else interval95(rating.elo, rating.error)
        words = "" if ends is None else f"{ends[0]:.0f} to {ends[1]:.0f}"
        rows.append(
            {
                "objective": board.objective.value,
                "model": rating.model,
                "elo": None if apart else round(rating.elo),
                "interval": "not connected" if apart else "set to 0" if rating.model == board.anchor else words,
                "low": None if ends is None else round(ends[0], 1),
                "high": None if ends is None else round(ends[1], 1),
                "games": rating.games,
            }
        )
    return rows


def _pairs(board: Board, asked: Asked) -> list[dict[str, Any]]:
    """Every two models, or those with the ones that were asked for."""
    if board.live is None:
        return []
    wanted = {name for name in (asked.text("one"), asked.text("two")) if name}
    group = {model: index for index, models in enumerate(board.live.groups) for model in models}
    rows = []
    for model, other in combinations([rating.model for rating in board.live.ratings()], 2):
        if not wanted <= {model, other}:
            continue
        meeting = board.live.meeting(model, other)
        apart, ends = group[model] != group[other], meeting.ci95
        words = "" if ends is None else f"{100 * ends[0]:.0f} to {100 * ends[1]:.0f} %"
        rows.append(
            {
                "objective": board.objective.value,
                "model": model,
                "other": other,
                "games": sum(meeting.wins),
                "wins": meeting.wins[0],
                "win_rate": None if apart else meeting.win_rate,
                "interval": "not connected" if apart else words,
                "low": None if ends is None else round(ends[0], 4),
                "high": None if ends is None else round(ends[1], 4),
            }
        )
    return rows
