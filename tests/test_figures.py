import importlib
import pkgutil
import re
import shlex
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from typing import Any

import matplotlib
import pytest

from concordant import evaluate
from concordant.cli import build_parser
from concordant.evaluate.figures import Figure, Question, draw, number, percent, percent_span, signed, span

SVG = "{http://www.w3.org/2000/svg}"


def drawn(
    name: str = "one", title: str = "Models & people agree in 67 % of 300 comparisons, which is more than half"
) -> Figure:
    def paint(axes: Sequence[Any]) -> None:
        axes[0].plot([0, 1], [1, 2], "o-", label="x")
        axes[0].set(xlabel="<unit>", ylabel="accuracy (%)")

    question = Question(name, "Fig. 9", "Does it?", "It did.", "concordant report RUN --out DIR")
    return draw(question, title, "n = 300 & more", paint, [("x", "y"), (0, 1.5), (1, 2)])


def words(svg: str) -> str:
    root = ElementTree.fromstring(svg)
    return " ".join("".join(text.itertext()).strip() for text in root.iter(f"{SVG}text"))


def test_text_stays_text_and_the_title_is_wrapped_not_cut() -> None:
    text = words(drawn().svg)
    assert "<unit>" in text
    assert "accuracy (%)" in text
    assert "Models & people agree in 67 % of 300" in text
    assert text.count("more than half") == 1


def test_it_is_a_picture_with_a_spoken_title_and_description() -> None:
    root = ElementTree.fromstring(drawn().svg)
    assert root.get("role") == "img"
    assert root.findtext(f"{SVG}title", "").startswith("Models & people")
    assert root.findtext(f"{SVG}desc") == "n = 300 & more"


def test_every_figure_has_the_same_size() -> None:
    boxes = {ElementTree.fromstring(drawn(title=title).svg).get("viewBox") for title in ("short", "long " * 30)}
    assert boxes == {"0 0 252 194.4"}  # 3.5 × 2.7 inches


def test_ids_of_two_figures_on_one_page_do_not_meet_and_lead_to_their_own() -> None:
    ids, links = [], []
    for name in ("one", "two"):
        svg = drawn(name).svg
        found = re.findall(r'\bid="([^"]+)"', svg)
        ids += found
        links += [(link, found) for link in re.findall(r'(?:href="#|url\(#)([^")]+)', svg)]
    assert len(ids) == len(set(ids))
    assert links
    assert all(link in own for link, own in links)


def test_nothing_is_asked_of_another_machine_and_no_style_leaks_into_a_page() -> None:
    svg = drawn().svg
    addresses = set(re.findall(r"https?://[^\s\"']+", svg))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "<style" not in svg


def test_drawing_twice_gives_the_same_file_and_leaves_no_trace() -> None:
    settings = ("svg.fonttype", "svg.hashsalt", "font.size", "axes.grid", "figure.facecolor")
    before = [matplotlib.rcParams[name] for name in settings]
    assert drawn() == drawn()
    assert [matplotlib.rcParams[name] for name in settings] == before
    assert "matplotlib.pyplot" not in sys.modules


def test_the_numbers_stand_beside_the_picture() -> None:
    assert drawn().csv == "x,y\n0,1.5\n1,2\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (percent(0.6741), "67.4\u202f%"),
        (percent(0.5, 0), "50\u202f%"),
        (signed(1.26, 1), "+1.3"),
        (signed(-1.26, 1), "\u22121.3"),
        (signed(-0.04, 1), "0.0"),
        (number(-2.0, 1), "\u22122.0"),
        (number(-0.001, 2), "0.00"),
        (span([-1.0, 2.5], 1), "\u22121.0 to 2.5"),
        (percent_span([0.612, 0.729]), "61.2 to 72.9\u202f%"),
    ],
)
def test_numbers_in_words(text: str, expected: str) -> None:
    assert text == expected


def test_the_command_of_every_figure_can_be_typed() -> None:
    """The placeholders are words that the parser takes for paths and names; N stands for a number."""
    questions: set[Question] = set()
    for module in pkgutil.iter_modules(evaluate.__path__):
        if module.name.endswith(("_figure", "_figures")):
            held = vars(importlib.import_module(f"concordant.evaluate.{module.name}"))
            for value in held.values():
                found = value.values() if isinstance(value, dict) else [value]
                questions |= {one for one in found if isinstance(one, Question)}
    assert len(questions) >= 19
    parser = build_parser()
    for question in questions:
        words = ["1" if word == "N" else word for word in shlex.split(question.command)]
        assert words[0] == "concordant"
        parser.parse_args(words[1:])
