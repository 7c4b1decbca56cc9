"""The tour of the pages: a picture for each step, each small, each described, and none left over."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
MOST_BYTES = 60_000


def pictures() -> dict[str, str]:
    """File → what it shows, as tour.md has it."""
    return {
        file: says for says, file in re.findall(r"!\[([^\]]*)\]\((images/tour/[^)]+)\)", (DOCS / "tour.md").read_text())
    }


def test_every_picture_is_shown_and_described() -> None:
    on_disk = {str(file.relative_to(DOCS)) for file in (DOCS / "images/tour").glob("*.png")}
    assert set(pictures()) == on_disk and len(on_disk) >= 8
    assert all(len(says.split()) >= 5 for says in pictures().values()), "who cannot see it is told what it shows"


def test_every_picture_is_taken_by_the_command() -> None:
    taken = re.findall(r'shot\("([a-z-]+)"\)', (DOCS / "make_tour.py").read_text())
    assert sorted(f"images/tour/{name}.png" for name in taken) == sorted(pictures())


@pytest.mark.parametrize("file", sorted(pictures()))
def test_every_picture_is_small(file: str) -> None:
    assert (DOCS / file).stat().st_size <= MOST_BYTES
