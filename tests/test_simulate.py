"""Scripted workers against real processes, some of which are killed under them."""

import asyncio
import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx
import pytest

from concordant.collect import simulate as module
from concordant.collect.simulate import Plan, SimulationReport, simulate
from concordant.collect.taste import ScriptedTaste
from concordant.comparison import Objective
from concordant.errors import UserError
from concordant.programme import Programme
from concordant.programme_config import CollectConfig
from concordant.store.database import Database
from concordant.store.overview import recent_talks
from concordant.store.people import WorkerKind, workers
from concordant.store.preferences import Filter, preferences
from served import Served, free_port

CONFIG = CollectConfig(helpful_turns=3, red_team_turns=2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with Served(tmp_path_factory.mktemp("programme") / "p") as found:
        yield found


@contextmanager
def store(served: Served) -> Iterator[Database]:
    database = Database.open(Programme.open(served.folder).store_url)
    try:
        yield database
    finally:
        database.close()


def chosen(served: Served, study: str) -> list[tuple[str, int]]:
    """(comparison, button) of every choice in the store."""
    with closing(sqlite3.connect(served.folder / "store.sqlite")) as connection:
        return connection.execute(
            "SELECT c.comparison_id, c.button FROM choices c JOIN comparisons p ON p.id = c.comparison_id "
            "JOIN messages m ON m.id = p.message_id JOIN talks t ON t.id = m.talk_id WHERE t.study = ?",
            [study],
        ).fetchall()


def logged(path: Path) -> list[tuple[str, int]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["comparison"], row["button"]) for row in rows]


def test_a_pause_changes_when_they_act_and_nothing_else(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    wait = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds == module.LOOK_SECONDS:  # for a page to change
            await wait(seconds)
        else:
            slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with store(served) as db:
        simulate(db, CONFIG, Plan(served.url, 2, study="unhurried", workers=1, pause=2.0))
    assert len(slept) == 2 * 3 * 2, "before each of three messages and three choices of two conversations"
    assert len(set(slept)) == len(slept) and min(slept) > 0 and 0.5 < sum(slept) / len(slept) < 6


def test_their_own_log_equals_the_store(served: Served, tmp_path: Path) -> None:
    plan = Plan(served.url, 6, tuple(Objective), "both", workers=4, log=tmp_path / "log.jsonl")
    progress: list[tuple[int, int]] = []
    with store(served) as db:
        report = simulate(db, CONFIG, plan, lambda conversations, choices: progress.append((conversations, choices)))
        talks = [talk for talk in recent_talks(db, 100) if talk.study == "both"]
        kinds = {worker.kind for worker in workers(db) if worker.name.startswith("scripted")}
        kept = [one for _, one in preferences(db, Filter(study="both", keep_weakest=True))]
    assert (report.conversations, report.choices) == (6, 3 * 3 + 3 * 2) == progress[-1]
    assert Counter(logged(tmp_path / "log.jsonl")) == Counter(chosen(served, "both"))
    assert Counter((talk.objective, talk.choices) for talk in talks) == {
        (Objective.HELPFUL, 3): 3,
        (Objective.HARMLESS, 2): 3,
    }
    assert all(talk.ended is not None and talk.rating is not None for talk in talks)
    assert kinds == {WorkerKind.SCRIPTED} and len(kept) == 15
    assert len({one.prompt.first_human_turn for one in kept}) == 6


def check_sides(swaps: list[tuple[str, int]]) -> None:
    """Sides are drawn anew every turn: half of all, and not once a talk."""
    # 32 fair draws: mean 16, standard deviation 2.8; more than 12 away is a chance of about one in 100,000.
    assert abs(sum(swap for _, swap in swaps) - 16) <= 12
    by_talk: dict[str, set[int]] = defaultdict(set)
    for talk, swap in swaps:
        by_talk[talk].add(swap)
    # Four fair draws are all alike in 1/8 of the talks; in 7 of 8 talks, once in about 300,000.
    assert sum(len(found) == 2 for found in by_talk.values()) >= 2


def test_choices_follow_the_taste(served: Served, tmp_path: Path) -> None:
    """A worker without noise always takes the reply of the higher taste."""
    taste = ScriptedTaste(sharpness=1e6)
    with store(served) as db:
        simulate(db, CONFIG, Plan(served.url, 4, study="sharp", workers=4, log=tmp_path / "log", taste=taste))
        talks = {one.id for one in recent_talks(db, 100) if one.study == "sharp"}
        rows = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
        compared = 0
        for row, (_, one) in zip(
            sorted(rows, key=lambda row: row["comparison"]),
            sorted(preferences(db, Filter(study="sharp", keep_weakest=True))),
            strict=True,
        ):
            assert (row["a"], row["b"]) == (one.comparison.reply_a, one.comparison.reply_b)  # what was shown is logged
            gap = taste.gap(Objective.HELPFUL, one.prompt, one.comparison.reply_a, one.comparison.reply_b)
            if gap:
                compared += 1
                assert (one.preferred == "a") == (gap > 0)
    assert len(talks) == 4 and compared > 0


def test_the_same_seed_says_the_same(served: Served) -> None:
    with store(served) as db:
        for study in ("one", "one", "two"):
            simulate(db, CollectConfig(helpful_turns=1), Plan(served.url, 2, study=study, workers=2))
        openings = [{talk.opening for talk in recent_talks(db, 100) if talk.study == study} for study in ("one", "two")]
    assert len(openings[0]) == 2 and openings[0] != openings[1]


def test_a_server_that_stays_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE_SECONDS", 0.5)
    database = Database.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        with pytest.raises(UserError, match=r"does not answer .*concordant serve"):
            simulate(database, CONFIG, Plan(f"http://127.0.0.1:{free_port()}", 3))
    finally:
        database.close()


def test_a_store_that_is_not_the_servers(served: Served, tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        with pytest.raises(UserError, match="answered 404"):
            simulate(database, CONFIG, Plan(served.url, 1))
    finally:
        database.close()


def test_replies_that_cannot_be_written_end_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FAILURES", 0)
    page = '<html data-work="helpful"><form action="/work/retry"></form></html>'
    transport = httpx.MockTransport(lambda request: httpx.Response(200, text=page))
    client = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **options: client(transport=transport, base_url="http://x"))
    database = Database.open(f"sqlite:///{tmp_path / 'store.sqlite'}")
    try:
        with pytest.raises(UserError, match=r"generator\.log"):
            simulate(database, CONFIG, Plan("http://x", 1))
    finally:
        database.close()


def test_a_report_starts_empty() -> None:
    assert SimulationReport() == SimulationReport(0, 0, 0, 0.0)
