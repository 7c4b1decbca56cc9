"""Judged pairs from a CSV file: ``model_a,model_b,winner(a|b),worker`` and, where there are, more columns.

``strength`` (1 to 4), ``shown_left`` (a, b or a label), ``conversation``, ``objective`` (helpful or harmless). The
winner is the better reply for its objective: in red-team work the less harmful one. A label that is none of those is an
error with its row, never a guess: an unknown outcome read as a tie would move the ratings unseen. Choices of the
weakest strength are dropped and counted, as in the paper (§2.2), unless they are asked for.
"""

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

from concordant.comparison import WEAKEST, Objective
from concordant.errors import UserError
from concordant.evaluate.votes import Kind, Votes, VoteTable

NEEDED = ("model_a", "model_b", "winner", "worker")
OPTIONAL = ("strength", "shown_left", "conversation", "objective")
_HEADING = "model_a,model_b,winner,worker[,strength][,shown_left][,conversation][,objective]"


@dataclass(frozen=True, slots=True)
class GamesFile:
    """What a file held.

    Attributes:
        boards: the judged pairs to rate, by objective, helpful first; "" is one that is not said. Objectives of which
            every row was dropped are missing.
        dropped: rows left out, by objective and reason.
        ignored_columns: columns that say nothing to this reader.
    """

    boards: Mapping[str, Votes]
    dropped: Mapping[str, Mapping[str, int]]
    ignored_columns: tuple[str, ...]

    @property
    def objectives(self) -> tuple[str, ...]:
        """What rows say, helpful first; ("",) of an empty file."""
        return tuple(sorted({*self.boards, *self.dropped}, key=_ORDER.index)) or ("",)

    def board(self, objective: str) -> tuple[Votes | tuple[()], Mapping[str, int]]:
        """(votes, rows left out by reason) of an objective."""
        return self.boards.get(objective, ()), self.dropped.get(objective, {})


_ORDER = (Objective.HELPFUL.value, Objective.HARMLESS.value, "")


def read_games(path: Path, keep_weakest: bool = False) -> GamesFile:
    """Read a file of judged pairs; an empty ``worker``, ``conversation`` or ``objective`` is one that is not known.

    Args:
        path: the file.
        keep_weakest: also choices of the weakest strength.

    Raises:
        UserError: no such file, not CSV text, a column is missing, or a row has a value that means nothing.
    """
    table = VoteTable()
    dropped: dict[str, Counter[str]] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            _check_columns(path, columns)
            _read_rows(path, reader, columns, keep_weakest, (table, dropped))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a CSV file of judged pairs") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give a CSV file of judged pairs") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not CSV text ({error}); give a CSV file of judged pairs") from None
    boards = dict(sorted(table.votes().items(), key=lambda item: _ORDER.index(item[0])))
    return GamesFile(boards, dropped, tuple(name for name in columns if name not in NEEDED + OPTIONAL))


def _read_rows(
    path: Path,
    rows: Any,
    columns: list[str],
    keep_weakest: bool,
    into: tuple[VoteTable, dict[str, Counter[str]]],
) -> None:
    """Add every row of a ``csv.reader`` to the table, or count why it is dropped.

    Few rows differ in more than the worker and the conversation; what the others say is worked out once.
    """
    table, dropped = into
    place = {name: index for index, name in enumerate(columns)}
    worker, talk, width = place["worker"], place.get("conversation"), len(columns)
    said = itemgetter(*(place[name] for name in (*NEEDED[:3], *OPTIONAL) if name in place and name != "conversation"))
    known: dict[tuple[str, ...], int | tuple[str, str]] = {}
    for row in rows:
        if len(row) != width:
            if row:
                raise UserError(f"{path} line {rows.line_num}: the row does not have {width} fields")
            continue
        kind = known.get(said(row))
        if kind is None:
            values = {name: row[index].strip() for name, index in place.items()}
            found = _kind(values, f"{path} line {rows.line_num}", keep_weakest)
            kind = known[said(row)] = table.kind(found) if isinstance(found, Kind) else found
        if isinstance(kind, int):
            table.add(kind, row[worker].strip() or None, "" if talk is None else row[talk].strip())
        else:
            objective, reason = kind
            dropped.setdefault(objective, Counter())[reason] += 1


def _check_columns(path: Path, columns: Sequence[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        found = ", ".join(columns) if columns else "none"
        raise UserError(
            f"{path} has no column {' and no column '.join(missing)} (its columns: {found}); "
            f"the first line must be {_HEADING}"
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice; keep one")


def _kind(row: Mapping[str, str], where: str, keep_weakest: bool) -> Kind | tuple[str, str]:
    """What a row says, or (objective, why it is dropped)."""
    models = {"a": row["model_a"], "b": row["model_b"]}
    for side, label in models.items():
        if not label:
            raise UserError(f"{where}: model_{side} is empty; write the model's label")
    winner, left, strength = row["winner"], row.get("shown_left", ""), row.get("strength", "")
    objective = row.get("objective", "")
    if winner not in models:
        raise UserError(f"{where}: winner is {winner!r}; it must be a or b")
    if left not in ("", "a", "b", *models.values()):
        raise UserError(f"{where}: shown_left is {left!r}; it must be a, b, one of the two labels, or empty")
    if strength not in ("", "1", "2", "3", "4"):
        raise UserError(f"{where}: strength is {strength!r}; it must be 1 (weakest) to 4 (strongest), or empty")
    if objective not in _ORDER:
        raise UserError(f"{where}: objective is {objective!r}; it must be helpful, harmless, or empty")
    if models["a"] == models["b"]:
        return objective, "same model on both sides"
    if strength == str(WEAKEST) and not keep_weakest:
        return objective, "weakest strength"
    left_side = left if left in models else next((side for side in models if models[side] == left), None)
    return Kind(
        winner=models[winner],
        loser=models["b" if winner == "a" else "a"],
        side=0 if left_side is None else 1 if left_side == winner else -1,
        strength=int(strength or 0),
        objective=objective,
    )
