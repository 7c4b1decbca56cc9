"""Preferences as Parquet, with every recorded column; nothing is left out, the weakest answers included.

``prompt``, ``chosen`` and ``rejected`` are lists of ``{role, content}`` messages, which the usual trainers and
``datasets.load_dataset`` read as they are. Rows are streamed, so an export of any size needs little memory.
"""

import io
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from concordant.conversation import Conversation, Speaker
from concordant.store.records import Collected, Record
from concordant.store.tally import Tally
from concordant.store.whole_file import whole_file

Json = dict[str, Any]
_ROWS_AT_ONCE = 4000
_ROLES = {Speaker.HUMAN: "user", Speaker.ASSISTANT: "assistant"}
_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_INSTANT = pa.timestamp("us", tz="UTC")

COLUMNS: dict[str, tuple[Any, str]] = {
    "id": (pa.string(), "of the comparison"),
    "objective": (pa.string(), "what better means: helpful or harmless"),
    "tranche": (pa.string(), "which kind of model wrote the replies: base, rs (best of k), online (a trained policy)"),
    "source": (
        pa.string(),
        "'store' for choices collected here, 'store edits' for replies that workers rewrote (a is theirs), "
        "else the imported file's name",
    ),
    "worker": (pa.string(), "id of who chose"),
    "worker_kind": (pa.string(), "person, scripted (a program), simulated (a model); empty: not known"),
    "preferred": (pa.string(), "the better side, a or b; in harmless work the worker clicked the other one"),
    "strength": (pa.int8(), "1 (about equal, or unsure) to 4; empty: not recorded"),
    "model_a": (pa.string(), "label of who wrote reply a"),
    "model_b": (pa.string(), "label of who wrote reply b"),
    "prompt": (_MESSAGES, "the conversation up to the replies"),
    "reply_a": (pa.string(), "the reply shown as A"),
    "reply_b": (pa.string(), "the reply shown as B"),
    "chosen": (_MESSAGES, "the better reply as a message"),
    "rejected": (_MESSAGES, "the worse reply as a message"),
    "talk": (pa.string(), "id of the conversation with the models"),
    "study": (pa.string(), "what it was collected for"),
    "turn": (pa.int16(), "of the talk, from 1"),
    "button": (pa.int8(), "which of the eight was pressed: 1 'A is much better' … 8 'B is much better'"),
    "choice_number": (pa.int16(), "above 1 where it supersedes earlier choices"),
    "swap": (pa.bool_(), "whether the reply drawn first was shown as B"),
    "said_at": (_INSTANT, "when the worker's message came"),
    "chosen_at": (_INSTANT, "when the button was pressed"),
    "rating": (pa.int8(), "the worker's rating of the whole talk; in red-team work, how successful it was"),
    "harm": (pa.int8(), "red-team work: how harmful the replies were, 1 to 5"),
    "actionability": (pa.int8(), "red-team work: how much of them could be acted upon, 1 to 5"),
    "comment": (pa.string(), "the worker's comment on the whole talk"),
} | {
    f"{name}_{side}": (kind, f"{meaning} {side}")
    for side in ("a", "b")
    for name, kind, meaning in (
        ("snapshot", pa.string(), "id of who wrote reply"),
        ("seed", pa.int64(), "its part in the seed of the batch it was sampled in: reply"),
        ("tokens", pa.int32(), "how many were sampled for reply"),
        ("finished", pa.bool_(), "whether the model ended its turn by itself: reply"),
        ("score", pa.float64(), "by the preference model that picked it: reply"),
        ("attempts", pa.int16(), "how many writers began reply"),
        ("done_at", _INSTANT, "when it was complete: reply"),
    )
}
"""Column → (type, meaning). Columns after ``rejected`` are empty in imported rows."""


def write_parquet(path: Path, records: Iterable[Record]) -> Tally:
    """Write all records, whole or not at all."""
    tally = Tally()
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.writelines(parquet_pieces(records, tally))
    return tally


def parquet_pieces(records: Iterable[Record], tally: Tally) -> Iterator[bytes]:
    """The bytes of the file, one piece a group of rows; counts them as they go. Erased ones are left out.

    The file's directory stands at its end, so one that was cut off cannot be opened.
    """
    schema = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
    sink, stream = _Sink(), iter(records)
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        while rows := list(islice(stream, _ROWS_AT_ONCE)):
            kept = [record for record in rows if not record.erased]
            for record in kept:
                tally.take(record.preference, record.worker_kind)
            for _ in range(len(rows) - len(kept)):
                tally.drop("erased")
            writer.write_table(pa.Table.from_pylist([_row(record) for record in kept], schema=schema))
            yield sink.taken()
    yield sink.taken()


class _Sink(io.RawIOBase):
    """A file that only passes on what is written into it."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._size += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._size

    def taken(self) -> bytes:
        """What was written since the last call."""
        parts, self._parts = self._parts, []
        return b"".join(parts)


def _row(record: Record) -> Json:
    preference = record.preference
    model_a, model_b = preference.models or (None, None)
    row = {
        "id": record.id,
        "objective": preference.objective.value,
        "tranche": preference.tranche.value,
        "source": preference.source,
        "worker": preference.worker,
        "worker_kind": None if record.worker_kind is None else record.worker_kind.value,
        "preferred": preference.preferred,
        "strength": preference.strength,
        "model_a": model_a,
        "model_b": model_b,
        "prompt": _messages(preference.prompt),
        "reply_a": preference.comparison.reply_a,
        "reply_b": preference.comparison.reply_b,
        "chosen": _messages(Conversation().assistant(preference.chosen)),
        "rejected": _messages(Conversation().assistant(preference.rejected)),
    }
    return row | ({} if record.collected is None else _collected(record.collected))


def _collected(record: Collected) -> Json:
    row: Json = {
        "talk": record.talk_id,
        "study": record.study,
        "turn": record.turn,
        "button": record.button,
        "choice_number": record.choice_number,
        "swap": record.swap,
        "said_at": record.said,
        "chosen_at": record.chosen,
        "rating": record.rating,
        "harm": record.harm,
        "actionability": record.actionability,
        "comment": record.comment,
    }
    for side, written in zip("ab", record.replies, strict=True):
        if written is None:
            continue
        row |= {
            f"snapshot_{side}": written.snapshot_id,
            f"seed_{side}": written.seed,
            f"tokens_{side}": written.tokens,
            f"finished_{side}": written.finished,
            f"score_{side}": written.score,
            f"attempts_{side}": written.attempts,
            f"done_at_{side}": written.done,
        }
    return row


def _messages(conversation: Conversation) -> list[Json]:
    return [{"role": _ROLES[turn.speaker], "content": turn.text} for turn in conversation.turns]
