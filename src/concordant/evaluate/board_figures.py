"""The Elo board with intervals (Fig. 1 and 15 right, for the models at hand).

Left out: ratings against model size and against training samples, which need more than one run.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from concordant.bradley_terry import gap_from_elo, win_probability
from concordant.evaluate.figures import (
    BLUE,
    CLEAR,
    GREY,
    INK,
    Figure,
    Missing,
    Question,
    draw,
    number,
    percent,
    sentence,
    signed,
    span,
)
from concordant.runs import Json

BOARD = Question(
    "elo",
    "Fig. 1, 15 right",
    "Do people prefer the new model?",
    "RLHF raised helpfulness by 164 to 203 Elo over the context-distilled model of the same size (read off the figure, "
    "±4), online training by more.",
    "concordant evaluate elo FILE.csv",
)

RED_TEAM_BOARD = Question(
    "elo-harmless",
    "Fig. 1 right",
    "Is the new model harder to lead into harm?",
    "In red-team work the online model beat the context-distilled one about 81\u202f% of the time; a model trained for "
    "helpfulness alone only about 27\u202f% (read off the figure).",
    "concordant evaluate elo FILE.csv",
)

MOST_SHOWN = 12


def board_figure(board: Json | None, no_board: str = "", question: Question = BOARD) -> Figure | Missing:
    """Ratings as points with 95 % intervals; the win rate against the anchor on the upper axis.

    Args:
        board: ``EloBoard.json()``; one whose ``objective`` is harmless answers ``RED_TEAM_BOARD``.
        no_board: why there is none.
        question: what stays open without one.
    """
    if board is None:
        why = no_board or "no comparisons between two models were made; deploy a second model and collect some"
        return Missing(question, sentence(why))
    question = RED_TEAM_BOARD if board.get("objective") == "harmless" else BOARD
    ratings, anchor = board["ratings"][:MOST_SHOWN], board["anchor"]
    caption = (
        f"n = {board['n']:,} comparisons by {board['workers'] or 'unnamed'} workers. Bars: 95\u202f% intervals of the "
        f"difference to {anchor}, which stands at 0 ({board['interval_method']}). Upper axis: win rate against it. "
        f"Right: 95\u202f% interval of the rank among {len(board['ratings'])}."
    )
    if len(board["ratings"]) > MOST_SHOWN:
        caption += f" The best {MOST_SHOWN} of {len(board['ratings'])} models."

    def paint(axes: Sequence[Any]) -> None:
        ax, places = axes[0], np.arange(len(ratings))[::-1]
        elo = np.array([rating["elo"] for rating in ratings])
        bars = np.abs(np.array([rating["ci95"] for rating in ratings]).T - elo)
        ax.axvline(0, color=INK, linewidth=0.7)
        for place, rating, bar in zip(places, ratings, bars.T, strict=True):
            at_zero = rating["model"] == anchor
            ax.errorbar(
                rating["elo"],
                place,
                xerr=None if at_zero else [[bar[0]], [bar[1]]],
                fmt="D" if at_zero else "o",
                color=INK if at_zero else BLUE,
                elinewidth=1.1,
            )
            words = "anchor" if at_zero else f"{signed(rating['elo'], 0)} ({percent(_win(rating['elo']), 0)})"
            ax.annotate(
                words, (rating["elo"], place), (0, 6), textcoords="offset points", ha="center", fontsize=7, bbox=CLEAR
            )
        low, high = min(0.0, float((elo - bars[0]).min())), max(0.0, float((elo + bars[1]).max()))
        room = max(30.0, 0.12 * (high - low))
        ax.set_yticks(places, [_short(rating["model"]) for rating in ratings])
        ax.set(xlabel="Elo", xlim=(low - room, high + room), ylim=(-0.6, len(ratings) - 0.2))
        ax.grid(axis="y", visible=False)
        ax.grid(axis="x", visible=True)
        _win_rate_axis(ax, low - room, high + room)
        _rank_axis(ax, places, [rating["rank95"] for rating in ratings])

    table = [["model", "elo", "ci95_low", "ci95_high", "games", "rank", "rank95_low", "rank95_high"]]
    table += [
        [rating["model"], rating["elo"], *rating["ci95"], rating["games"], rating["rank"], *rating["rank95"]]
        for rating in board["ratings"]
    ]
    return draw(question, board_sentence(board), caption, paint, table)


def board_sentence(board: Json) -> str:
    """What the board shows about the best model, or about the best but one where the best is the anchor."""
    best = board["ratings"][0]
    if best["model"] != board["anchor"]:
        points = f"{number(best['elo'], 0)} Elo ({span(best['ci95'], 0)})"
        if best["ci95"][0] > 0:
            return f"{best['model']} stands {points} above {board['anchor']}"
        return f"{best['model']} is not clearly above {board['anchor']}: {points}"
    second = board["ratings"][1]
    words = "No model reaches" if second["ci95"][1] < 0 else "No model is clearly above"
    return f"{words} {board['anchor']}: {second['model']} at {number(second['elo'], 0)} Elo ({span(second['ci95'], 0)})"


def _win(elo: float) -> float:
    return win_probability(gap_from_elo(elo))


def _win_rate_axis(ax: Any, low: float, high: float) -> None:
    """An upper axis that reads Elo as the chance to win against the anchor."""
    marks = [mark for mark in (-400.0, -200.0, -100.0, 0.0, 100.0, 200.0, 400.0, 600.0) if low < mark < high]
    while len(marks) > 5:
        marks = marks[::2]
    upper = ax.secondary_xaxis("top")
    upper.set_xticks(marks, [percent(_win(mark), 0) for mark in marks])
    upper.set_xlabel("win rate against the anchor", color=GREY)
    upper.tick_params(labelcolor=GREY)
    upper.spines["top"].set_visible(True)


def _rank_axis(ax: Any, places: Any, spans: Sequence[Sequence[int]]) -> None:
    """A right axis with each model's interval of ranks."""
    right = ax.secondary_yaxis("right")
    right.set_yticks(places, [f"{low}" if low == high else f"{low}–{high}" for low, high in spans])
    right.set_ylabel("rank", color=GREY)
    right.tick_params(labelcolor=GREY, length=0)
    right.spines["right"].set_visible(False)


def _short(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:11]}…{label[-8:]}"
