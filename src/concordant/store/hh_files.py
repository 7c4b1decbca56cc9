"""Files in the format of the released HH data: one ``{"chosen": …, "rejected": …}`` of transcripts a line.

Rows that cannot teach anything are dropped and counted by reason; a file that is no such file is an error. The real
files hold equal replies, empty replies and pairs without a shared prompt, so dropping is normal. Left out: SQL.
"""

import gzip
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.comparison import Comparison, Objective, Preference, Tranche
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.people import WorkerKind
from concordant.store.whole_file import text_pieces

_GZIP_MAGIC = b"\x1f\x8b"
_WANTED = 'give a .jsonl or .jsonl.gz file of {"chosen": …, "rejected": …} rows'


class _Unusable(Exception):
    """Why a row is dropped."""


@dataclass(frozen=True, slots=True)
class HHFile:
    """What a file held. ``rows`` is the number of taken and dropped rows together; blank lines are none.

    Attributes:
        preferences: the usable rows, side ``a`` being the chosen one.
        worker_kinds: for each of them, who made the choice, where the row says so (as our own exports do).
        dropped: reason → number of rows.
        rows: all rows.
        digest: sha256 of the uncompressed content, 64 hex digits.
    """

    preferences: list[Preference]
    worker_kinds: list[WorkerKind | None]
    dropped: Counter[str]
    rows: int
    digest: str


def read_hh(path: Path, objective: Objective, tranche: Tranche) -> HHFile:
    """Read a ``.jsonl`` or ``.jsonl.gz`` file (told apart by content, not by name).

    Raises:
        UserError: the file is absent, not text, cut short, or holds no usable row; the message names the line.
    """
    found = HHFile([], [], Counter(), 0, "")
    digest, rows, trouble = hashlib.sha256(), 0, ""
    for number, line in read_lines(path, _WANTED):
        digest.update(line)
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise UserError(f"{path}, line {number}: not text (byte {line[error.start]:#04x}); {_WANTED}") from None
        if not text:
            continue
        rows += 1
        try:
            preference, kind = _row(text, objective, tranche, path.name)
        except _Unusable as reason:
            found.dropped[str(reason)] += 1
            trouble = trouble or f"line {number}: {reason}"
            continue
        found.preferences.append(preference)
        found.worker_kinds.append(kind)
    if not found.preferences:
        raise UserError(f"{path} holds no usable comparison ({trouble or 'it is empty'}); {_WANTED}")
    return HHFile(found.preferences, found.worker_kinds, found.dropped, rows, digest.hexdigest())


def why_not_hh(preference: Preference) -> str | None:
    """Why a preference cannot stand in an HH file, which has no place for "about equal", or None if it can."""
    if preference.is_weakest:
        return "weakest strength"
    flaw = preference.flaw()
    if flaw is not None:
        return flaw
    try:
        _transcripts(preference)
    except UserError:
        return "a turn contains an HH separator"
    return None


def hh_pieces(rows: Iterable[tuple[Preference, WorkerKind | None]], packed: bool) -> Iterator[bytes]:
    """The bytes of such a file in pieces, as gzip if ``packed``.

    Beside ``chosen`` and ``rejected``, rows name objective, tranche, strength, source, models (of chosen, rejected),
    worker and the worker's kind; readers of the released format pass over these.

    Raises:
        UserError: a preference cannot be written as transcripts (see ``why_not_hh``).
    """
    return text_pieces((json.dumps(_hh_row(one, kind), ensure_ascii=False) + "\n" for one, kind in rows), packed)


def read_lines(path: Path, wanted: str) -> Iterator[tuple[int, bytes]]:
    """(line number from 1, line) of a file, unpacked where it is gzip.

    Raises:
        UserError: the file is absent, a folder, or cut short; ``wanted`` says what to give instead.
    """
    number = 0
    try:
        with path.open("rb") as raw:
            packed = raw.read(2) == _GZIP_MAGIC
            raw.seek(0)
            for number, line in enumerate(gzip.GzipFile(fileobj=raw) if packed else raw, start=1):
                yield number, line
    except FileNotFoundError:
        raise UserError(f"{path} does not exist; {wanted}") from None
    except IsADirectoryError:
        raise UserError(f"{path} is a folder; {wanted}") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path} is cut short or damaged after line {number} ({error}); fetch it again") from None


def _row(line: str, objective: Objective, tranche: Tranche, source: str) -> tuple[Preference, WorkerKind | None]:
    try:
        row: Any = json.loads(line)
    except (ValueError, RecursionError):
        raise _Unusable("not JSON") from None
    if not isinstance(row, dict):
        raise _Unusable("not a JSON object")
    (prompt, better), (other_prompt, worse) = (_split(row, key) for key in ("chosen", "rejected"))
    if prompt != other_prompt:
        raise _Unusable("no shared prompt")
    preference = Preference(Comparison(prompt, better, worse), "a", objective, tranche, source=source)
    flaw = preference.flaw()
    if flaw is not None:
        raise _Unusable(flaw)
    kind = row.get("worker_kind")
    if kind is not None and kind not in list(WorkerKind):
        raise _Unusable("unknown worker_kind")
    return preference, None if kind is None else WorkerKind(kind)


def _split(row: dict[str, Any], key: str) -> tuple[Conversation, str]:
    """(prompt, last reply) of one of a row's transcripts."""
    if key not in row:
        raise _Unusable(f"missing '{key}'")
    transcript = row[key]
    if not isinstance(transcript, str):
        raise _Unusable(f"'{key}' is not text")
    try:
        transcript.encode()
    except UnicodeEncodeError:
        raise _Unusable(f"'{key}' is not Unicode text") from None
    try:
        conversation = Conversation.from_hh(transcript)
    except UserError:
        raise _Unusable(f"'{key}' is not a transcript") from None
    try:
        return conversation.split_last_reply()
    except UserError:
        raise _Unusable(f"'{key}' does not end on a reply") from None


def _transcripts(preference: Preference) -> tuple[str, str]:
    chosen, rejected = (
        preference.prompt.assistant(reply).to_hh() for reply in (preference.chosen, preference.rejected)
    )
    return chosen, rejected


def _hh_row(preference: Preference, kind: WorkerKind | None) -> dict[str, Any]:
    chosen, rejected = _transcripts(preference)
    models = preference.models if preference.preferred == "a" else preference.swap().models
    return {
        "chosen": chosen,
        "rejected": rejected,
        "objective": preference.objective,
        "tranche": preference.tranche,
        "strength": preference.strength,
        "source": preference.source,
        "models": models,
        "worker": preference.worker,
        "worker_kind": kind,
    }
