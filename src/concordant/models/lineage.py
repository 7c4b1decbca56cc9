"""From a run back to the comparisons behind it: the runs it names as parents, as far as their folders are at hand.

A run names its parents by id, ``name@digest``, where the name of what was kept on the way is ``run/kept/step``. A
folder of that name beside the run, or one that was named for the purpose, is taken for the parent if its weights have
that digest; what is not found stays an id. Left out: the store, which knows snapshots and iterations (``online.py``
tells those).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from concordant.models.made_model import MadeModel, is_run, weights_digest
from concordant.runs import KEPT, Run

DATA_ROLES = ("data", "dataset", "prompts", "examples")
"""Roles of parents that are comparisons or prompts, not models."""

_MODEL_ROLES = ("pm", "test_pm", "base", "model")
_DEEPEST = 8


@dataclass(frozen=True, slots=True)
class Ancestor:
    """One input of a run.

    Attributes:
        depth: 1 for the run's own inputs, 2 for theirs, …
        role: what it was to the run below it.
        id: as that run recorded it.
        run: its folder, where it is a run that was found.
    """

    depth: int
    role: str
    id: str
    run: Run | None = None


def ancestry(run: Run, folders: Sequence[Path] = (), depth: int = 1) -> Iterator[Ancestor]:
    """Every input of a run and of the runs it comes from, parents before theirs.

    Args:
        run: where to begin.
        folders: of runs that may be among its parents and do not stand beside it.
        depth: of the first ones.
    """
    for role, value in run.head["parents"].items():
        if role not in (*_MODEL_ROLES, *DATA_ROLES):
            yield Ancestor(depth, role, str(value))
            continue
        for part in str(value).split(","):
            name = re.sub(r"^(mean|minimum) of ", "", part.strip())
            parent = _run_of(name, run, folders) if role in _MODEL_ROLES else None
            yield Ancestor(depth, role, name, parent)
            if parent is not None and depth < _DEEPEST:
                yield from ancestry(parent, folders, depth + 1)


def _run_of(id: str, below: Run, folders: Sequence[Path]) -> Run | None:
    """The run that an id stands for, if its folder is at hand and has those weights."""
    name, _, digest = id.partition("@")
    inner = Path(name) if f"/{KEPT}/" in name else Path(Path(name).name)
    own = below.path.resolve()
    beside = own.parents[2] if own.parent.name == KEPT else own.parent
    given = (
        folder / inner.relative_to(inner.parts[0]) for folder in folders if folder.resolve().name == inner.parts[0]
    )
    for path in (*folders, *given, beside / inner, Path(name)):
        made = MadeModel.at(path)
        if made is None:
            if is_run(path) and not digest and path.resolve().name == str(inner) and path.resolve() != own:
                return Run(path)  # its weights are gone, and nothing is asked of them
        elif made.run is None or made.name != str(inner) or made.folder.resolve() == own / "model":
            continue
        elif not digest or weights_digest(made.folder).startswith(digest):
            return made.run
    return None
