"""What every figure shares: one size, one set of fonts and colours, text that stays text, numbers beside the picture.

Each figure answers one question and says in its title what this run shows. The size is that of a paper's column, so the
same file is readable in print and on a phone. Colours are Okabe and Ito's; shapes differ too, so no reading rests on
colour alone. The figures themselves are in ``pm_figures``, ``policy_figures`` and ``board_figures``.
"""

import csv
import io
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import matplotlib
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure as Canvas

BLUE, ORANGE, GREEN, INK, GREY = "#0072B2", "#D55E00", "#009E73", "#222222", "#767676"
"""Three of Okabe and Ito's colours for data; ink for theory lines; grey (4.5 : 1 on white) for what is in the back."""

WIDTH, HEIGHT = 3.5, 2.7
"""Inches."""

_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "concordant",
    "font.family": "DejaVu Sans",
    "font.size": 7.5,
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.5,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "text.color": INK,
    "figure.facecolor": "white",
    "lines.linewidth": 1.2,
    "lines.markersize": 4.5,
    "errorbar.capsize": 0,
}

_READER_FONTS = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', Arial, sans-serif"
"""Narrower than the font the layout is computed with, so no text grows into another."""


CLEAR = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}
"""Box behind a label, so that no line runs through it."""

COLLAPSED = " ALARM: both replies get the same scores nearly everywhere, so the accuracy says nothing."
"""Goes on at the end of a caption whose numbers come from a collapsed preference model."""

_TITLE_CHARACTERS = 46
"""In one line of a title; as many fit in bold at the figure's width."""


@dataclass(frozen=True, slots=True)
class Question:
    """What a figure is for.

    Attributes:
        name: of its files, without the ending.
        figure: the paper's number ("Fig. 9").
        asks: the question.
        paper: what the paper found.
        command: what makes its numbers.
    """

    name: str
    figure: str
    asks: str
    paper: str
    command: str


@dataclass(frozen=True, slots=True)
class Figure:
    """A drawn figure.

    Attributes:
        question: what it answers.
        title: the answer of this run, in one line with numbers.
        caption: n, what bars, bands and lines mean.
        svg: the picture, a whole file.
        csv: the drawn numbers.
    """

    question: Question
    title: str
    caption: str
    svg: str
    csv: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A figure that the data cannot support, and what it would take."""

    question: Question
    why: str


def draw(
    question: Question,
    title: str,
    caption: str,
    paint: Callable[[Sequence[Any]], None],
    table: Sequence[Sequence[Any]],
    panels: int = 1,
) -> Figure:
    """Draw a figure.

    Args:
        question: what it answers.
        title: the answer; wrapped above the axes.
        caption: goes below the picture in a report, and into the file's description.
        paint: draws on the list of axes it is given, top panel first; panels share their x axis.
        table: heading and rows of the CSV.
        panels: how many axes stand above one another.
    """
    with matplotlib.rc_context(_STYLE):
        canvas = Canvas(figsize=(WIDTH, HEIGHT), layout="constrained")
        FigureCanvasSVG(canvas)
        axes = canvas.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
        wrapped = "\n".join(textwrap.wrap(title, _TITLE_CHARACTERS))
        canvas.suptitle(wrapped, x=0.012, ha="left", fontsize=8, fontweight="bold", linespacing=1.3)
        paint(list(axes))
        file = io.StringIO()
        canvas.savefig(file, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(table)
    return Figure(question, title, caption, _tidy(file.getvalue(), question.name, title, caption), written.getvalue())


def _tidy(svg: str, name: str, title: str, caption: str) -> str:
    """The picture with a spoken title, the reader's own fonts, and ids unlike those of other figures on the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>\s*|<defs>\s*<style.*?</style>\s*</defs>\s*", "", svg, flags=re.DOTALL)
    svg = re.sub(r"'DejaVu Sans'(, [^;\"]*)?", _READER_FONTS, svg)
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", svg)
    head = svg.index(">") + 1
    spoken = f"<title>{escape(title)}</title><desc>{escape(caption)}</desc>"
    return f'{svg[: head - 1]} role="img" style="stroke-linejoin: round; stroke-linecap: butt">{spoken}{svg[head:]}'


def sentence(error: str) -> str:
    """The one line of a ``UserError`` as a sentence of a page."""
    return f"{error[:1].upper()}{error[1:].removesuffix('.')}."


def percent(value: float, digits: int = 1) -> str:
    """0.674 → "67.4 %"."""
    return f"{100 * value:.{digits}f}\u202f%"


def signed(value: float, digits: int) -> str:
    """A number with its sign, a real minus, and no "−0"."""
    text = f"{value:+.{digits}f}"
    return text.replace("-", "\u2212") if float(text) else f"{0:.{digits}f}"


def key(ax: Any, line: int, text: str, color: str) -> None:
    """A line of text in the lower right corner, from the bottom: what a mark means, where it cannot stand beside it."""
    ax.annotate(
        text,
        (1, 0),
        (-3, 4 + 10 * line),
        "axes fraction",
        "offset points",
        ha="right",
        color=color,
        fontsize=7,
        bbox=CLEAR,
    )


def number(value: float, digits: int) -> str:
    """A number with a real minus, and no "−0"."""
    text = f"{value:.{digits}f}"
    return text.replace("-", "\u2212") if float(text) else f"{0:.{digits}f}"


def span(ci95: Sequence[float], digits: int) -> str:
    """An interval in words: "0.31 to 0.52"."""
    return f"{number(ci95[0], digits)} to {number(ci95[1], digits)}"


def percent_span(ci95: Sequence[float], digits: int = 1) -> str:
    """An interval of shares in words: "61.2 to 72.9 %"."""
    return f"{100 * ci95[0]:.{digits}f} to {100 * ci95[1]:.{digits}f}\u202f%"
