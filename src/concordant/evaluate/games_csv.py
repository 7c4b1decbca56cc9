"""Judged pairs from a CSV file: ``model_a,model_b,winner(a|b),worker[,strength][,shown_left]``.

A label that is none of those is an error with its row, never a guess: an unknown outcome read as a tie would move the
ratings unseen. Choices of the weakest strength are dropped and counted, as in the paper (§2.2).
"""

import csv
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from concordant.bradley_terry import Game
from concordant.comparison import WEAKEST
from concordant.errors import UserError

NEEDED = ("model_a", "model_b", "winner", "worker")
OPTIONAL = ("strength", "shown_left")


@dataclass(frozen=True, slots=True)
class GamesFile:
    """What a file held.

    Attributes:
        games: the judged pairs to rate.
        dropped: rows left out, by reason.
        ignored_columns: columns that say nothing to this reader.
    """

    games: tuple[Game, ...]
    dropped: Mapping[str, int]
    ignored_columns: tuple[str, ...]


def read_games(path: Path) -> GamesFile:
    """Read a file of judged pairs; an empty ``worker`` is one who is not known.

    Raises:
        UserError: no such file, not CSV text, a column is missing, or a row has a value that means nothing.
    """
    games: list[Game] = []
    dropped: Counter[str] = Counter()
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, strict=True)
            columns = [name.strip() for name in reader.fieldnames or []]
            _check_columns(path, columns)
            reader.fieldnames = columns
            for row in reader:
                if None in row or None in row.values():
                    raise UserError(f"{path} line {reader.line_num}: the row does not have {len(columns)} fields")
                values = {name: value.strip() for name, value in row.items()}
                game = _game(values, f"{path} line {reader.line_num}")
                if isinstance(game, str):
                    dropped[game] += 1
                else:
                    games.append(game)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; give a CSV file of judged pairs") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; give a CSV file of judged pairs") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not CSV text ({error}); give a CSV file of judged pairs") from None
    return GamesFile(tuple(games), dict(dropped), tuple(name for name in columns if name not in NEEDED + OPTIONAL))


def _check_columns(path: Path, columns: list[str]) -> None:
    missing = [name for name in NEEDED if name not in columns]
    if missing:
        found = ", ".join(columns) if columns else "none"
        raise UserError(
            f"{path} has no column {' and no column '.join(missing)} (its columns: {found}); "
            "the first line must be model_a,model_b,winner,worker[,strength][,shown_left]"
        )
    twice = [name for name, count in Counter(columns).items() if count > 1]
    if twice:
        raise UserError(f"{path} has the column {twice[0]!r} twice; keep one")


def _game(row: Mapping[str, str], where: str) -> Game | str:
    """The game of a row, or why it is dropped."""
    models = {"a": row["model_a"], "b": row["model_b"]}
    for side, label in models.items():
        if not label:
            raise UserError(f"{where}: model_{side} is empty; write the model's label")
    if row["winner"] not in models:
        raise UserError(f"{where}: winner is {row['winner']!r}; it must be a or b")
    left = row.get("shown_left", "")
    if left not in ("", "a", "b", *models.values()):
        raise UserError(f"{where}: shown_left is {left!r}; it must be a, b, one of the two labels, or empty")
    strength = row.get("strength", "")
    if strength not in ("", "1", "2", "3", "4"):
        raise UserError(f"{where}: strength is {strength!r}; it must be 1 (weakest) to 4 (strongest), or empty")
    if models["a"] == models["b"]:
        return "same model on both sides"
    if strength == str(WEAKEST):
        return "weakest strength"
    winner = row["winner"]
    left_side = left if left in models else next((side for side in models if models[side] == left), None)
    return Game(
        winner=models[winner],
        loser=models["b" if winner == "a" else "a"],
        worker=row["worker"] or None,
        winner_left=None if left_side is None else left_side == winner,
    )
