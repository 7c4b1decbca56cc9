"""Replies that people wrote, as an arm of comparisons: a file of prompts and replies, and talks that begin with one.

A worker is given the prompt as the conversation's first message; one of the two replies is the person's, the other a
model's, and the worker cannot tell which. Left out: turns after the first, which the writer cannot answer.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import insert, select

from concordant.errors import UserError
from concordant.sampler import Reply
from concordant.store.audit import COMMAND_LINE, note
from concordant.store.database import Database
from concordant.store.deployment_tables import GivenRow, WrittenRow
from concordant.store.registry import Snapshot, SnapshotKind, snapshot_in
from concordant.store.tables import ComparisonRow, MessageRow, ReplyRow, TalkRow, new_id

_FIELDS = ("prompt", "reply", "writer")
_CHUNK = 2000


@dataclass(frozen=True, slots=True)
class Written:
    """A prompt with the reply that somebody wrote to it."""

    id: str
    snapshot_id: str
    prompt: str
    reply: str


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What a file holds: (prompt, reply, writer), and reason → rows that were dropped."""

    digest: str
    rows: tuple[tuple[str, str, str], ...]
    dropped: Counter[str]


def read_written(path: Path) -> WrittenFile:
    """Read JSON lines ``{"prompt": …, "reply": …, "writer": …}``.

    Raises:
        UserError: the file cannot be read, or no row of it can be used.
    """
    try:
        content = path.read_bytes()
        lines = content.decode().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read ({error}); give JSON lines in UTF-8") from None
    rows: dict[tuple[str, str], str] = {}
    dropped: Counter[str] = Counter()
    for line in filter(str.strip, lines):
        found = _fields(line)
        if found is None:
            dropped["not an object with texts prompt, reply and writer"] += 1
        elif not all(found):
            dropped["empty prompt, reply or writer"] += 1
        elif found[:2] in rows:
            dropped["the same reply to the same prompt again"] += 1
        else:
            rows[found[0], found[1]] = found[2]
    if not rows:
        raise UserError(f'{path} has no row that can be used; each line is {{"prompt": …, "reply": …, "writer": …}}')
    digest = hashlib.sha256(content).hexdigest()
    return WrittenFile(digest, tuple((*pair, writer) for pair, writer in rows.items()), dropped)


def add_written(db: Database, label: str, file: str, found: WrittenFile, by: str = COMMAND_LINE) -> Snapshot:
    """Register a file's replies as a snapshot; the same file under the same label again changes nothing.

    Args:
        db: the store.
        label: the snapshot's.
        file: name of the file.
        found: what is in it.
        by: the member of staff, for the audit log.

    Raises:
        UserError: the label is taken by something else.
    """
    spec = {"file": file, "digest": found.digest, "rows": len(found.rows)}
    with db.write_alone() as session:
        made = snapshot_in(session, label, SnapshotKind.WRITTEN, spec)
        if session.scalar(select(WrittenRow.id).where(WrittenRow.snapshot_id == made.id).limit(1)) is None:
            rows = [
                {"id": new_id(), "snapshot_id": made.id, "row": number, **dict(zip(_FIELDS, row, strict=True))}
                for number, row in enumerate(found.rows, start=1)
            ]
            for start in range(0, len(rows), _CHUNK):
                session.execute(insert(WrittenRow), rows[start : start + _CHUNK])
            note(session, by, "written replies imported", made.id, file=file, rows=len(rows))
    return made


def not_yet_given(db: Database, snapshot_id: str, worker_id: str) -> Sequence[Written]:
    """The rows of a file whose prompt this worker has not been given, in the file's order."""
    given = (
        select(WrittenRow.prompt)
        .join(GivenRow, GivenRow.written_id == WrittenRow.id)
        .join(TalkRow, TalkRow.id == GivenRow.talk_id)
        .where(TalkRow.worker_id == worker_id)
    )
    statement = (
        select(WrittenRow.id, WrittenRow.snapshot_id, WrittenRow.prompt, WrittenRow.reply)
        .where(WrittenRow.snapshot_id == snapshot_id, WrittenRow.prompt.not_in(given))
        .order_by(WrittenRow.row)
    )
    with db.read() as session:
        return [Written(*row) for row in session.execute(statement)]


def written_replies(db: Database, reply_ids: Collection[str]) -> dict[str, Reply]:
    """What people wrote, for replies (by id) of talks that were begun with their prompts.

    Raises:
        LookupError: a talk was not begun so, so that there is nothing to show.
    """
    statement = (
        select(ReplyRow.id, WrittenRow.reply)
        .join(ComparisonRow, ComparisonRow.id == ReplyRow.comparison_id)
        .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
        .join(GivenRow, GivenRow.talk_id == MessageRow.talk_id)
        .join(WrittenRow, (WrittenRow.id == GivenRow.written_id) & (WrittenRow.snapshot_id == ReplyRow.snapshot_id))
        .where(ReplyRow.id.in_(reply_ids), MessageRow.turn == 1)
    )
    with db.read() as session:
        found = {id: Reply(text, finished=True, tokens=None) for id, text in session.execute(statement)}
    missing = set(reply_ids) - found.keys()
    if missing:
        raise LookupError(f"nobody wrote a reply for {min(missing)}")
    return found


def _fields(line: str) -> tuple[str, str, str] | None:
    try:
        row = json.loads(line)
    except ValueError:
        return None
    if not isinstance(row, dict):
        return None
    prompt, reply, writer = (row.get(name) for name in _FIELDS)
    if not (isinstance(prompt, str) and isinstance(reply, str) and isinstance(writer, str)):
        return None
    return prompt.strip(), reply.strip(), writer.strip()
