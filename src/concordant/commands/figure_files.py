"""Figures that a verb of ``concordant evaluate`` writes: an SVG and the numbers as CSV for each."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concordant.commands.outcome import Outcome, add_json, plain
from concordant.errors import UserError

if TYPE_CHECKING:
    from concordant.evaluate.figures import Figure, Missing


def add_out(parser: argparse.ArgumentParser) -> None:
    """Add --out and --json."""
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the figures: SVG, and CSV beside each")
    add_json(parser)


def outcome_with(text: str, json: dict[str, Any], written: Sequence[str]) -> Outcome:
    """The result with the paths of its figures, where some were written."""
    return Outcome("\n".join([text, *written]), json | ({"files": list(written)} if written else {}))


def refuse_out(out: Path | None) -> None:
    """Raise before anything is measured where figures could not be written."""
    if out is not None and out.is_file():
        raise UserError(f"--out {out} is a file; give a folder")


def write_measurement(name: str, numbers: dict[str, Any], out: Path | None) -> list[str]:
    """Write NAME.json beside the figures, by which ``concordant report`` knows the folder; returns its path."""
    import json

    from concordant.runs import write_whole

    if out is None:
        return []
    write_whole(out / f"{name}.json", json.dumps(plain(numbers), indent=2) + "\n")
    return [str(out / f"{name}.json")]


def write_figures(figures: "Sequence[Figure | Missing]", out: Path | None) -> list[str]:
    """Write the two files of every figure that was drawn; returns their paths.

    Raises:
        UserError: none was drawn.
    """
    from concordant.evaluate.figures import Figure, Missing
    from concordant.runs import write_whole

    if out is None:
        return []
    refuse_out(out)
    drawn = [figure for figure in figures if isinstance(figure, Figure)]
    if not drawn:
        why = next(figure.why for figure in figures if isinstance(figure, Missing))
        raise UserError(f"no figure was drawn: {why}")
    files: dict[Path, str] = {}
    for figure in drawn:
        files[out / f"{figure.question.name}.svg"] = figure.svg
        files[out / f"{figure.question.name}.csv"] = figure.csv
    for path, content in files.items():
        write_whole(path, content)
    return [str(path) for path in files]
