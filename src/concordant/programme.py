"""A programme's folder: its config, its store, its runs and data sets, each in its place.

DIR/concordant.toml   what differs from the defaults
DIR/store.sqlite      people's choices (or elsewhere, by the store's URL)
DIR/datasets/         frozen data sets
DIR/runs/             one folder a run
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.config import load_config
from concordant.errors import UserError
from concordant.programme_config import ProgrammeConfig
from concordant.runs import is_occupied, read_json, write_whole

_FIRST_CONFIG = """\
# Only what differs from the defaults stands here; `docs/config.md` lists every key.
# model = "smollm2-135m"                 # short name, hub id, or folder of a causal LM
# store = "postgresql+psycopg://…"       # default: store.sqlite beside this file
"""


@dataclass(frozen=True, slots=True)
class Errand:
    """How far a command is to go, kept in the programme's folder while it runs: after a kill, the same command goes on.

    Attributes:
        path: the file.
        asked: what was asked for; another errand of the same verb takes this one's place.
    """

    path: Path
    asked: dict[str, Any]

    def goal(self) -> int | None:
        """What was kept by the same errand, if it was not ended."""
        if not self.path.exists():
            return None
        kept = read_json(self.path)
        return int(kept["goal"]) if kept["asked"] == self.asked else None

    def keep(self, goal: int) -> None:
        """A number that tells the next start how far to go."""
        write_whole(self.path, json.dumps({"asked": self.asked, "goal": goal}) + "\n")

    def end(self) -> None:
        """It is done."""
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Programme:
    """Where a programme's things are."""

    path: Path
    config: ProgrammeConfig

    @classmethod
    def init(cls, path: Path, settings: str = _FIRST_CONFIG) -> "Programme":
        """Make the folder; one that is already a programme is opened and left as it is.

        Raises:
            UserError: the folder holds something else.
        """
        if not (path / "concordant.toml").exists():
            if is_occupied(path):
                raise UserError(
                    f"{path} is not empty and is no programme (it has no concordant.toml); choose another folder"
                )
            write_whole(path / "concordant.toml", settings)
        for folder in ("datasets", "runs"):
            (path / folder).mkdir(exist_ok=True)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path, overrides: Iterable[str] = ()) -> "Programme":
        """An existing programme.

        Raises:
            UserError: the folder has no concordant.toml, or it cannot be used.
        """
        file = path / "concordant.toml"
        if not file.exists():
            raise UserError(
                f"{path} is no programme (it has no concordant.toml); make one with 'concordant init {path}'"
            )
        # Resolved, because paths in it are recorded in the store and read again from other folders.
        return cls(path.resolve(), load_config(ProgrammeConfig, file, overrides))

    @property
    def store_url(self) -> str:
        """SQLAlchemy URL of the store, with a relative SQLite path resolved against the folder."""
        url = self.config.store
        prefix = "sqlite:///"
        if url.startswith(prefix) and not url.startswith(prefix + "/"):
            return prefix + str((self.path / url.removeprefix(prefix)).resolve())
        return url

    def errand(self, verb: str, asked: dict[str, Any]) -> Errand:
        """What a verb was asked to do; see ``Errand``."""
        return Errand(self.path / f".{verb}.json", asked)

    @property
    def datasets(self) -> Path:
        return self.path / "datasets"

    @property
    def runs(self) -> Path:
        return self.path / "runs"
