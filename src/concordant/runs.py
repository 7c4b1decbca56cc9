"""A run's folder: what was asked (config.json), what happened (metrics.jsonl, samples.jsonl), from what (parents).

Every stage that ends in a model writes one. Files are written whole or not at all; the two logs grow by whole lines,
and are cut back to the last checkpoint when a killed run goes on, so that no step stands in them twice.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.errors import UserError

Json = dict[str, Any]

KEPT = "kept"
"""Folder of a run in which copies of its model are kept that it had on the way."""

Watch = Callable[[int, int, str], None]
"""Told of progress: ``watch(done, total, what was last seen)``."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file so that a reader, or a crash, meets the old content or the new one and never a part of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def replace_folder(temporary: Path, final: Path) -> None:
    """Put a finished folder in place of ``final``, which may exist.

    A crash leaves the old folder, the new one, or, for an instant, the old one under ``.NAME.old``
    (``recover_folder`` puts it back).
    """
    for file in temporary.rglob("*"):
        if file.is_file():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        os.rename(final, old)
    os.rename(temporary, final)
    shutil.rmtree(old, ignore_errors=True)


def recover_folder(final: Path) -> None:
    """Undo a ``replace_folder`` that was killed between its two renames."""
    old = final.with_name(f".{final.name}.old")
    if old.exists() and not final.exists():
        os.rename(old, final)


@contextmanager
def whole_folder(final: Path, temporary: str) -> Iterator[Path]:
    """A new folder to write into, which is put in place of ``final`` at the end, whole; an error leaves nothing of it.

    Args:
        final: where it goes.
        temporary: how the names of unfinished ones begin, which stand beside it.
    """
    folder = Path(tempfile.mkdtemp(dir=final.parent, prefix=temporary))
    try:
        yield folder
        folder.chmod(0o755)
        for file in folder.rglob("*"):
            file.chmod(0o755 if file.is_dir() else 0o644)
        replace_folder(folder, final)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def is_occupied(path: Path) -> bool:
    """Whether a new run or programme must not begin here: a file, or a folder that holds something.

    Names that begin with a dot do not count: a start that was killed may have left one, and so does version control.
    """
    if path.is_dir():
        return any(not item.name.startswith(".") for item in path.iterdir())
    return path.exists()


def read_json(path: Path) -> Json:
    """Read a JSON object.

    Raises:
        UserError: the file is absent or not a JSON object.
    """
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path} does not exist; is {path.parent} a run's folder?") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not JSON ({error}); the folder is damaged, make the run again") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} holds {type(content).__name__}, not an object; the folder is damaged")
    return content


def read_jsonl(path: Path) -> Iterator[Json]:
    """The rows of a JSON-lines file; a last line that a crash cut short is left out."""
    if not path.exists():
        return
    with path.open() as file:
        for line in file:
            if line.endswith("\n"):
                yield json.loads(line)


@dataclass(frozen=True, slots=True)
class Run:
    """One run's folder. ``name`` is its id in lineage records."""

    path: Path

    @property
    def name(self) -> str:
        kept = self.path.parent.name == KEPT
        return f"{self.path.parent.parent.name}/{KEPT}/{self.path.name}" if kept else self.path.name

    @classmethod
    def begin(cls, path: Path, kind: str, config: Mapping[str, Any], parents: Mapping[str, str]) -> "Run":
        """Create the folder, or go on with it if it holds the same kind, config and parents.

        A run that has made nothing yet may be begun anew with others: its settings may be why it stopped.

        Args:
            path: the run's folder.
            kind: "distill", "pm", "pmp", "policy", "prompts", "best-of", "capabilities", "bias" or "refusals".
            config: the resolved config, as JSON values.
            parents: role → id of each input (data set, base model, preference model).

        Raises:
            UserError: the folder holds another run.
        """
        run = cls(path)
        asked = {"kind": kind, "config": dict(config), "parents": dict(parents)}
        head = path / "config.json"
        if head.exists():
            found = {key: value for key, value in read_json(head).items() if key in asked}
            if found == json.loads(json.dumps(asked)):
                return run
            if run._has_made_something():
                raise UserError(f"{path} holds another run ({_difference(found, asked)}); choose another folder")
        elif is_occupied(path):
            raise UserError(f"{path} is not empty and is no run's folder; choose another folder")
        path.mkdir(parents=True, exist_ok=True)
        with run.alone():
            write_whole(head, json.dumps(asked, indent=2) + "\n")
        return run

    @classmethod
    def open(cls, path: Path) -> "Run":
        """An existing run.

        Raises:
            UserError: there is none.
        """
        read_json(path / "config.json")
        return cls(path)

    @property
    def head(self) -> Json:
        """``{"kind", "config", "parents"}`` as they were given to ``begin``."""
        return read_json(self.path / "config.json")

    def log(self, metrics: Mapping[str, Any]) -> None:
        """Append a row to metrics.jsonl. It must hold ``step``."""
        if "step" not in metrics:
            raise ValueError(f"a row of metrics needs 'step': {metrics!r}")
        with (self.path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps(dict(metrics)) + "\n")

    def replace_samples(self, step: int, rows: Sequence[Mapping[str, Any]], kind: str = "trial") -> None:
        """Put these rows into samples.jsonl as those of this step and kind; doing it twice is doing it once."""
        others = [row for row in self.samples() if (row["step"], row["kind"]) != (step, kind)]
        kept = [*others, *({"step": step, "kind": kind, **row} for row in rows)]
        write_whole(self.path / "samples.jsonl", "".join(json.dumps(row) + "\n" for row in kept))

    def metrics(self) -> list[Json]:
        return list(read_jsonl(self.path / "metrics.jsonl"))

    def samples(self, kind: str | None = None) -> list[Json]:
        """The rows of samples.jsonl, all or those of one kind."""
        rows = [{"kind": "trial", **row} for row in read_jsonl(self.path / "samples.jsonl")]
        return [row for row in rows if kind in (None, row["kind"])]

    def rewind(self, step: int) -> None:
        """Drop what was logged after ``step``: a run that goes on from its checkpoint logs those steps again."""
        for name in ("metrics.jsonl", "samples.jsonl"):
            path = self.path / name
            if path.exists():
                kept = [row for row in read_jsonl(path) if row["step"] <= step]
                write_whole(path, "".join(json.dumps(row) + "\n" for row in kept))

    def save_model(self, save: Callable[[Path], None]) -> None:
        """Let ``save`` write the finished model into a folder, and put that in place whole."""
        with whole_folder(self.model, ".model.new.") as temporary:
            save(temporary)

    def keep_model(self, step: int, save: Callable[[Path], None]) -> None:
        """Let ``save`` write the model as it stands after ``step``, for good, beside the finished one to come."""
        self.kept.mkdir(exist_ok=True)
        with whole_folder(self.kept / str(step), ".new.") as temporary:
            save(temporary)

    def kept_steps(self) -> list[int]:
        """The steps whose models are kept, in order."""
        return sorted(int(folder.name) for folder in self.kept.glob("[0-9]*"))

    def drop_kept(self, step: int) -> None:
        """Let go of a kept model."""
        shutil.rmtree(self.kept / str(step), ignore_errors=True)

    def finish(self, result: Mapping[str, Any]) -> None:
        """Write result.json: the run is complete, and its model stands in ``model/``. The checkpoint goes."""
        write_whole(self.path / "result.json", json.dumps(dict(result), indent=2) + "\n")
        shutil.rmtree(self.checkpoint, ignore_errors=True)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other process works on this run. Sweeps up what a killed save left.

        Raises:
            UserError: another process works on it.
        """
        with (self.path / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.path} is being worked on by another process; wait for it, or stop it and try again"
                ) from None
            for leftover in (*self.path.glob(".model.new.*"), *self.kept.glob(".*")):
                shutil.rmtree(leftover, ignore_errors=True)
            for name in ("config.json", "metrics.jsonl", "samples.jsonl", "result.json"):
                for half in self.path.glob(f".{name}.*"):
                    half.unlink(missing_ok=True)
            yield

    def _has_made_something(self) -> bool:
        made = (self.path / "metrics.jsonl", self.path / "samples.jsonl", self.path / "result.json", self.checkpoint)
        return any(path.exists() for path in made)

    @property
    def finished(self) -> bool:
        return (self.path / "result.json").exists()

    @property
    def result(self) -> Json:
        return read_json(self.path / "result.json")

    @property
    def model(self) -> Path:
        """Folder of the finished model."""
        return self.path / "model"

    @property
    def kept(self) -> Path:
        """Folder of what was kept on the way: a preference model's run as it stood, a policy's model, by its step."""
        return self.path / KEPT

    @property
    def checkpoint(self) -> Path:
        """Folder of the last checkpoint; exists only while the run is unfinished."""
        return self.path / "checkpoint"


def _difference(found: Json, asked: Json) -> str:
    """The first few dotted keys in which two run heads differ, with both values."""

    def flat(value: Any, prefix: str) -> dict[str, Any]:
        if isinstance(value, dict):
            return {key: leaf for name, part in value.items() for key, leaf in flat(part, f"{prefix}.{name}").items()}
        return {prefix.lstrip("."): value}

    before, after = flat(found, ""), flat(json.loads(json.dumps(asked)), "")
    keys = [key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]
    return "; ".join(f"{key} was {before.get(key)!r}, now {after.get(key)!r}" for key in keys[:3])
