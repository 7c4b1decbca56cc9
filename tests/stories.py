"""Small stories for tests of the store: models, workers, and talks played to their end."""

from collections.abc import Callable, Sequence

from concordant.comparison import Objective
from concordant.sampler import Reply
from concordant.store.database import Database
from concordant.store.people import Worker, WorkerKind, add_worker
from concordant.store.registry import Snapshot, SnapshotKind, add_snapshot
from concordant.store.reply_queue import ReplyJob, claim, finish
from concordant.store.talks import Draw, Ending, choose, end_talk, open_talk, say


def base_model(db: Database) -> Snapshot:
    return add_snapshot(db, "base", SnapshotKind.MODEL, {"folder": "base", "adapter": None})


def policy_model(db: Database) -> Snapshot:
    return add_snapshot(db, "policy", SnapshotKind.MODEL, {"folder": "base", "adapter": "runs/policy/model"})


def best_of(db: Database, label: str, of: Snapshot) -> Snapshot:
    return add_snapshot(db, label, SnapshotKind.BEST_OF_K, {"of": of.id, "pm": "runs/pm", "k": 16})


def person(db: Database, name: str = "worker", kind: WorkerKind = WorkerKind.PERSON) -> Worker:
    return add_worker(db, name, kind)[0]


def draw(first: Snapshot, second: Snapshot | None = None, swap: bool = False) -> Draw:
    return Draw((first.id, (second or first).id), (0, 1), swap)


def by_seed(job: ReplyJob) -> str:
    """The default text of a reply: "reply 0" or "reply 1"."""
    return f"reply {job.seed}"


def write_replies(db: Database, text: Callable[[ReplyJob], str] = by_seed) -> None:
    """Write all that waits in the queue."""
    jobs = claim(db, "writer", 1000, 60.0)
    finish(db, "writer", {job.reply_id: Reply(text(job), finished=True, tokens=3) for job in jobs})


def ask(
    db: Database, worker: Worker, pair: Draw, objective: Objective = Objective.HELPFUL, text: str = "hello"
) -> tuple[str, str]:
    """A new talk with its first message said and nothing written yet: (talk id, comparison id)."""
    talk = open_talk(db, worker.id, objective, turns=2, study="")
    return talk, say(db, talk, text, "say-1", pair)


def play(
    db: Database,
    worker: Worker,
    pair: Draw,
    buttons: Sequence[int],
    objective: Objective = Objective.HELPFUL,
    study: str = "",
) -> list[str]:
    """A whole talk with these choices; returns the comparisons' ids."""
    talk = open_talk(db, worker.id, objective, len(buttons), study)
    comparisons = []
    for turn, button in enumerate(buttons, start=1):
        comparisons.append(say(db, talk, f"question {turn}", f"say-{turn}", pair))
        write_replies(db)
        choose(db, comparisons[-1], button, f"choose-{turn}")
    red_team = objective is Objective.HARMLESS
    end_talk(db, talk, Ending(4, "fine", 3, 2) if red_team else Ending(4, "fine"))
    return comparisons
