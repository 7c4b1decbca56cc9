"""A store full of made-up conversations, for measuring pages and exports; random words, no people, no models.

Conversations of four turns; workers as unequal as a real crew (the n-th makes 1/n of what the first makes); five
models.
"""

import os
import random
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from sqlalchemy import insert

from concordant.store.database import Database
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow, SnapshotRow, TalkRow, WorkerRow

Rows = dict[Any, list[dict[str, Any]]]
TURNS, TALKS_AT_ONCE, DAYS, WORKERS, MODELS = 4, 5000, 180, 60, 5
RARE = "xylophonist"
"""Stands in one conversation."""
COMMON = "harbour"
"""Stands in most."""
_WORDS = [
    COMMON,
    *(a + b for a in ("ba", "ke", "lo", "mi", "nu", "pa", "ri", "so", "tu", "ve") for b in ("l", "n", "r", "s")),
]


def fill(db: Database, comparisons: int, progress: Callable[[int], None] = lambda done: None) -> None:
    """Put so many comparisons into an empty store."""
    draw = random.Random(0)
    began = datetime(2026, 1, 1, tzinfo=UTC)
    workers = [
        {"id": f"{n:032x}", "name": f"worker {n}", "kind": "person", "token_hash": f"{n}"} for n in range(WORKERS)
    ]
    models = [
        {
            "id": f"{n:032x}",
            "label": f"model-{n}",
            "kind": "model",
            "spec": {"folder": "x", "adapter": None},
            "parents": [],
        }
        for n in range(MODELS)
    ]
    with db.write() as session:
        session.execute(insert(WorkerRow), [row | {"may_edit": False, "created": began} for row in workers])
        session.execute(insert(SnapshotRow), [row | {"run": None, "created": began} for row in models])
    texts = Texts(*([" ".join(draw.choices(_WORDS, k=words)) for _ in range(5000)] for words in (12, 60)))
    shares = [1 / (n + 1) for n in range(WORKERS)]
    done, talks = 0, comparisons // TURNS
    while done < talks:
        number = min(TALKS_AT_ONCE, talks - done)
        rows: Rows = {kind: [] for kind in (TalkRow, MessageRow, ComparisonRow, ReplyRow, ChoiceRow)}
        for place in range(done, done + number):
            at = began + timedelta(days=DAYS * place / talks)
            _talk(draw, rows, texts, (draw.choices(workers, shares)[0]["id"], at, RARE if place == talks // 2 else ""))
        with db.write() as session:
            for kind, made in rows.items():
                session.execute(insert(kind.__table__), made)
        done += number
        progress(done * TURNS)


class Texts(NamedTuple):
    """A few thousand messages and replies, drawn from again and again."""

    messages: list[str]
    replies: list[str]


def _talk(draw: random.Random, rows: Rows, texts: Texts, about: tuple[str, datetime, str]) -> None:
    """Rows of one talk ``about`` (worker, beginning, word that stands nowhere else)."""
    worker, at, extra = about
    talk = _id(draw)
    red_team = draw.random() < 0.25
    rows[TalkRow].append(
        {
            "id": talk,
            "worker_id": worker,
            "objective": "harmless" if red_team else "helpful",
            "study": "",
            "turns": TURNS,
            "created": at,
            "ended": at + timedelta(minutes=9),
            "rating": draw.randint(1, 5),
        }
    )
    for turn in range(1, TURNS + 1):
        at += timedelta(minutes=2)
        message, comparison = _id(draw), _id(draw)
        text = draw.choice(texts.messages) + (f" {extra}" if turn == 2 and extra else "")
        rows[MessageRow].append(
            {"id": message, "talk_id": talk, "turn": turn, "text": text, "key": str(turn), "created": at}
        )
        rows[ComparisonRow].append(
            {"id": comparison, "message_id": message, "swap": draw.random() < 0.5, "created": at}
        )
        for place, model in enumerate(draw.sample(range(MODELS), 2)):
            rows[ReplyRow].append(
                {
                    "id": _id(draw),
                    "comparison_id": comparison,
                    "place": place,
                    "snapshot_id": f"{model:032x}",
                    "seed": 1,
                    "status": "done",
                    "text": draw.choice(texts.replies),
                    "attempt": 1,
                    "finished": True,
                    "tokens": 90,
                    "created": at,
                    "done": at + timedelta(seconds=20),
                }
            )
        choice = {"id": _id(draw), "comparison_id": comparison, "number": 1, "button": draw.randint(1, 8), "key": "k"}
        rows[ChoiceRow].append(choice | {"created": at + timedelta(seconds=60)})


def _id(draw: random.Random) -> str:
    return f"{draw.getrandbits(128):032x}"


def peak_mib() -> float:
    """The most memory that this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


@contextmanager
def stores(postgres: bool) -> Iterator[dict[str, str]]:
    """URLs of empty stores by database: SQLite in a temporary folder, and PostgreSQL on a private server or on that of
    CONCORDANT_TEST_POSTGRES."""
    folder = Path(tempfile.mkdtemp(prefix="concordant-bench-"))
    try:
        urls = {"sqlite": f"sqlite:///{folder / 'store.sqlite'}"}
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
        if not postgres or not (programs or os.environ.get("CONCORDANT_TEST_POSTGRES")):
            yield urls
        elif url := os.environ.get("CONCORDANT_TEST_POSTGRES"):
            yield urls | {"postgresql": url}
        else:
            with _server(folder, programs[-1].parent) as private:
                yield urls | {"postgresql": private}
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(folder: Path, programs: Path) -> Iterator[str]:
    """A PostgreSQL server with its ordinary settings, reached through a socket in the folder."""
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if become:
        shutil.chown(folder, "postgres")

    def run(program: str, *arguments: str) -> None:
        command = [*become, str(programs / program), "-D", str(folder / "data"), *arguments]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL)

    run("initdb", "-U", "concordant", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
    run("pg_ctl", "-w", "-o", f"-k {folder} -c listen_addresses=''", "-l", str(folder / "log"), "start")
    try:
        yield f"postgresql://concordant@/postgres?host={folder}"
    finally:
        run("pg_ctl", "-w", "-m", "immediate", "stop")
