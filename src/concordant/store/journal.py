"""The journal of the online loop: each step of an iteration by what went in and what came out (paper §4.5).

A second start goes on after the last finished step. One process works on an iteration at a time: it holds a lease,
which a dead process loses at once where its death can be seen, and after a minute without a heartbeat elsewhere. Left
out: what a step does. It must itself be repeatable, for a step that was killed is made again from its beginning.
"""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.tables import LeaseRow, StepRow, new_id, utc_now

Json = dict[str, Any]

HEARTBEAT_SECONDS = 10.0
LEASE_SECONDS = 60.0


class Journal:
    """The steps of one iteration. Use it as a context manager, or ``close`` it, to let the iteration go."""

    def __init__(self, db: Database, iteration: int) -> None:
        self._db = db
        self._iteration = iteration
        self._owner = new_id()
        self._holds = False

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def step(self, name: str, inputs: Json, make: Callable[[], Json]) -> Json:
        """What ``make`` returns; where the step was finished with equal inputs before, what it returned then.

        Args:
            name: of the step, once in an iteration.
            inputs: JSON: ids of what the step reads, and its settings.
            make: does the step; must bear being started again after a kill.

        Raises:
            UserError: the step was finished with other inputs, or another process works on this iteration.
        """
        self._hold()
        inputs = _json(inputs)
        with self._db.write() as session:
            self._beat(session)
            row = session.get(StepRow, (self._iteration, name))
            if row is not None and row.finished is not None:
                if row.inputs != inputs:
                    raise UserError(
                        f"iteration {self._iteration}: step {name!r} was finished with other inputs "
                        f"({_difference(row.inputs, inputs)}); set that back until the iteration has ended"
                    )
                assert row.outputs is not None
                return row.outputs
            if row is None:
                row = StepRow(iteration=self._iteration, name=name, starts=0)
                session.add(row)
            row.inputs, row.started, row.starts = inputs, utc_now(), row.starts + 1
        with self._heartbeat():
            outputs = _json(make())
        with self._db.write() as session:
            self._beat(session)
            done = session.get_one(StepRow, (self._iteration, name))
            done.outputs, done.finished = outputs, utc_now()
        return outputs

    def finished(self) -> dict[str, Json]:
        """Name → outputs of the finished steps, in the order in which they were finished."""
        return finished_steps(self._db, self._iteration)

    def close(self) -> None:
        """Let the iteration go, so that another process may take it up."""
        if self._holds:
            with self._db.write() as session:
                lease = session.get(LeaseRow, self._iteration)
                if lease is not None and lease.owner == self._owner:
                    session.delete(lease)
            self._holds = False

    def _hold(self) -> None:
        """Take the lease, unless another process that lives has it."""
        if self._holds:
            return
        mine = {"owner": self._owner, "host": socket.gethostname(), "process": os.getpid(), "heartbeat": utc_now()}
        try:
            with self._db.write() as session:
                lease = session.get(LeaseRow, self._iteration, with_for_update=True)
                if lease is None:
                    session.add(LeaseRow(iteration=self._iteration, **mine))
                elif _alive(lease):
                    raise self._taken(lease)
                else:
                    for column, value in mine.items():
                        setattr(lease, column, value)
        except IntegrityError:  # two processes found no lease at the same moment, and the other was first
            with self._db.read() as session:
                lease = session.get(LeaseRow, self._iteration)
            raise self._taken(lease) from None
        self._holds = True

    def _taken(self, lease: LeaseRow | None) -> UserError:
        who = "another process" if lease is None else f"process {lease.process} on {lease.host}"
        return UserError(
            f"iteration {self._iteration} is being worked on by {who}; wait for it, or stop it and try again"
        )

    def _beat(self, session: Session) -> None:
        """Say that we live, or stop if the lease has gone to another."""
        lease = session.get(LeaseRow, self._iteration, with_for_update=True)
        if lease is None or lease.owner != self._owner:
            self._holds = False
            raise UserError(f"iteration {self._iteration} was taken over by another process while this one was asleep")
        lease.heartbeat = utc_now()

    @contextmanager
    def _heartbeat(self) -> Iterator[None]:
        """Beats in the background. If it fails, the lease may go to another; ``_beat`` notices that at the end."""
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(HEARTBEAT_SECONDS):
                with self._db.write() as session:
                    self._beat(session)

        thread = threading.Thread(target=beat, name=f"journal-{self._iteration}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def finished_steps(db: Database, iteration: int) -> dict[str, Json]:
    """Name → outputs of an iteration's finished steps, in the order in which they were finished. Takes no lease."""
    with db.read() as session:
        rows = session.scalars(
            select(StepRow)
            .where(StepRow.iteration == iteration, StepRow.finished.is_not(None))
            .order_by(StepRow.finished, StepRow.started)
        )
        return {row.name: row.outputs or {} for row in rows}


@dataclass(frozen=True, slots=True)
class StepRecord:
    """A step as the journal has it. ``outputs`` None: not finished; ``starts``: how often it was begun."""

    name: str
    inputs: Json
    outputs: Json | None
    starts: int
    started: datetime
    finished: datetime | None


@dataclass(frozen=True, slots=True)
class IterationRecord:
    """An iteration: its steps in the order in which they were begun, and who works on it now ("": nobody)."""

    number: int
    steps: tuple[StepRecord, ...]
    held_by: str


def iterations(db: Database) -> list[IterationRecord]:
    """All iterations, newest first."""
    with db.read() as session:
        rows = list(session.scalars(select(StepRow).order_by(StepRow.iteration.desc(), StepRow.started, StepRow.name)))
        leases = {row.iteration: row for row in session.scalars(select(LeaseRow))}
    steps: dict[int, list[StepRecord]] = {}
    for row in rows:
        record = StepRecord(row.name, row.inputs, row.outputs, row.starts, row.started, row.finished)
        steps.setdefault(row.iteration, []).append(record)
    held = {number: f"process {lease.process} on {lease.host}" for number, lease in leases.items() if _alive(lease)}
    return [IterationRecord(number, tuple(made), held.get(number, "")) for number, made in steps.items()]


def last_iteration(db: Database) -> int:
    """The highest iteration that was begun, or 0."""
    with db.read() as session:
        return session.scalar(select(func.max(StepRow.iteration))) or 0


def _alive(lease: LeaseRow) -> bool:
    """Whether the holder may still be at work. On our own machine we can look; elsewhere only its heartbeat tells."""
    if lease.host == socket.gethostname() and not process_exists(lease.process):
        return False
    return utc_now() - lease.heartbeat < timedelta(seconds=LEASE_SECONDS)


def process_exists(process: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _json(value: Json) -> Json:
    """The value as it comes back from the database (a tuple as a list), so that both ways of a step return the same.

    Raises:
        ValueError: it holds what JSON cannot say, NaN and infinity included.
    """
    back: Json = json.loads(json.dumps(value, allow_nan=False))
    return back


def _difference(before: Json, now: Json) -> str:
    """The first input that differs, with both values."""
    key = next(key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key))
    return f"{key} was {before.get(key)!r}, now {now.get(key)!r}"
