"""Progress on standard error: a bar with rate and time left on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

LINE_SECONDS = 30.0

Watch = Callable[[int, int, str], None]


@dataclass(slots=True)
class TerminalStages:
    """Shows stages one after the other; each leaves one line. Keeps the seconds of each."""

    names: dict[str, str]
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[Watch]:
        """Within it, the stage runs."""
        title = self.names.get(name, name)
        began = time.monotonic()
        with progress(title) as watch:
            yield watch
        self.seconds[name] = time.monotonic() - began
        print(f"  {title:<34} {clock(self.seconds[name]):>7}", file=sys.stderr, flush=True)


@contextmanager
def progress(title: str) -> Iterator[Watch]:
    """A watch that draws one bar, which is gone at the end; off a terminal, lines."""
    if not sys.stderr.isatty():
        yield _lines(title)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[seen]}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, seen="")
        yield lambda done, total, seen: bar.update(task, completed=done, total=total or None, seen=seen)


def _lines(title: str) -> Watch:
    began = time.monotonic()
    last = [began, 0.0]

    def watch(done: int, total: int, seen: str) -> None:
        now = time.monotonic()
        if not total:  # nothing to count, as while a model is downloaded: what is said is said at once
            print(f"  {title}: {seen}", file=sys.stderr, flush=True)
            return
        if now - last[0] >= LINE_SECONDS:
            last[0] = now
            left = f", {clock((now - began) / done * (total - done))} left" if done else ""
            print(f"  {title}: {done}/{total}{left}  {seen}".rstrip(), file=sys.stderr, flush=True)

    return watch


def clock(seconds: float) -> str:
    """``m:ss``, or ``h:mm:ss`` from an hour on."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
