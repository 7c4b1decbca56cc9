"""What the teacher says, on disk: at every counted token its k most probable tokens and the rest (paper App. A.1).

It is computed once, and students of all sizes learn from it. A shard is one safetensors file, written whole: a killed
run goes on with the first that is missing. Texts stand in it in the order in which they are learned from.

Shape letters: R texts of a shard, L all their tokens, N those that count, K kept tokens, C = K + 1 classes.
"""

import fcntl
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from concordant.errors import UserError
from concordant.models.coarse import Coarse, coarsen
from concordant.models.prompted import PromptedModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.models.text_rows import TextRow, digest_of
from concordant.runs import Watch, read_json, write_whole

_LOGIT_ROWS = 512
HEAD = "teacher.json"


@dataclass(frozen=True, slots=True)
class Lesson:
    """One text with what the teacher said of it.

    Attributes:
        row: its tokens.
        tokens: (N, K) the teacher's most probable tokens at each counted one.
        logprobs: (N, C) their log-probabilities, and that of the rest.
    """

    row: TextRow
    tokens: Int64[Tensor, "N K"]
    logprobs: Float[Tensor, "N C"]


@dataclass(frozen=True)
class TeacherShards:
    """A folder of shards.

    Attributes:
        folder: where they are.
        rows: all texts, in the order of learning.
        k: tokens kept at each place.
        width: how many tokens the vocabulary has, for teacher and student alike.
        shard_texts: texts in a shard.
    """

    folder: Path
    rows: Sequence[TextRow]
    k: int
    width: int
    shard_texts: int
    _kept: dict[int, list[Lesson]] = field(default_factory=dict)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Within it no other process writes into the folder; students may read it all the same.

        Raises:
            UserError: another process writes.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.folder} is being filled with a teacher's output by another process; wait until that one "
                    "trains, and try again"
                ) from None
            yield

    def begin(self, made_by: Mapping[str, str]) -> None:
        """Make the folder, or go on with it if the same teacher says the same of the same texts there.

        Args:
            made_by: which teacher, behind which prompt.

        Raises:
            UserError: it holds the output of another teacher or on other texts.
        """
        settings = {"k": str(self.k), "vocabulary": str(self.width), "texts_per_shard": str(self.shard_texts)}
        asked = {**made_by, **settings, "texts": f"{len(self.rows)}@{digest_of(self.rows)}"}
        head = self.folder / HEAD
        if len(self.missing) == self.count:  # nothing has been said yet
            write_whole(head, json.dumps(asked, indent=2) + "\n")
        found = read_json(head)
        for key, value in asked.items():
            if found.get(key) != value:
                raise UserError(
                    f"{self.folder} holds another teacher's output ({key} was {found.get(key)!r}, now {value!r}); "
                    "choose another folder"
                )
        for leftover in self.folder.glob(".shard-*"):  # of a write that was killed
            leftover.unlink()

    @property
    def count(self) -> int:
        """How many shards there are when all are made."""
        return -(-len(self.rows) // self.shard_texts)

    @property
    def counted(self) -> int:
        """Tokens that are learned from."""
        return sum(row.counted for row in self.rows)

    @property
    def bytes(self) -> int:
        """What all shards take on disk, but for some hundreds of bytes each."""
        per_token = self.k * self._token_type.itemsize + 4 * (self.k + 1)
        return self.counted * per_token + 4 * sum(len(row.tokens) + 2 for row in self.rows)

    @property
    def missing(self) -> list[int]:
        """Numbers of the shards that are still to be made."""
        return [number for number in range(self.count) if not self.path(number).exists()]

    def path(self, number: int) -> Path:
        return self.folder / f"shard-{number:05}.safetensors"

    def fill(self, teacher: PromptedModel, row_tokens: int, watch: Watch) -> None:
        """Make the shards that are missing."""
        for number in self.missing:
            watch(number, self.count, "")
            rows = self._rows_of(number)
            said = self._ask(teacher, rows, row_tokens)
            tensors = {
                **_layout(rows),
                "classes": torch.cat([part.tokens for part in said]).to(self._token_type),
                "logprobs": torch.cat([part.logprobs for part in said]),
            }
            write_whole(self.path(number), save(tensors))
        watch(self.count, self.count, "")

    def lessons(self, start: int, end: int) -> list[Lesson]:
        """Texts ``start`` to ``end`` with what the teacher said; keeps the shards that they stand in.

        Raises:
            UserError: a shard is damaged.
        """
        wanted = range(start // self.shard_texts, -(-end // self.shard_texts))
        for number in self._kept.keys() - set(wanted):
            del self._kept[number]
        for number in wanted:
            if number not in self._kept:
                self._kept[number] = self._load(number)
        return [self._kept[place // self.shard_texts][place % self.shard_texts] for place in range(start, end)]

    @property
    def _token_type(self) -> torch.dtype:
        return torch.uint16 if self.width <= 2**16 else torch.int32

    def _rows_of(self, number: int) -> Sequence[TextRow]:
        return self.rows[number * self.shard_texts : (number + 1) * self.shard_texts]

    @torch.inference_mode()
    def _ask(self, teacher: PromptedModel, rows: Sequence[TextRow], row_tokens: int) -> list[Coarse]:
        """What the teacher says of each row."""
        said: dict[int, Coarse] = {}
        head = teacher.model.causal.get_output_embeddings()
        for group in teacher.groups([row.tokens for row in rows], row_tokens):
            batch = RowBatch.pack([SharedRow(rows[index].tokens, []) for index in group], teacher.model.device)
            states = teacher.hidden(batch)
            for place, index in enumerate(group):
                behind = states[place, rows[index].first - 1 : len(rows[index].tokens) - 1]
                parts = [
                    coarsen(head(part).float()[:, : self.width], self.k) for part in torch.split(behind, _LOGIT_ROWS)
                ]
                tokens, logprobs = (torch.cat(tensors).cpu() for tensors in zip(*parts, strict=True))
                said[index] = Coarse(tokens, logprobs)
        return [said[index] for index in range(len(rows))]

    def _load(self, number: int) -> list[Lesson]:
        path, rows = self.path(number), self._rows_of(number)
        try:
            tensors = load_file(path)
        except (SafetensorError, FileNotFoundError) as error:
            raise UserError(f"{path} is absent or damaged ({error}); delete it and start the run again") from None
        for name, expected in _layout(rows).items():
            if name not in tensors or not torch.equal(tensors[name], expected):
                raise UserError(f"{path} is of other texts ({name} differ); delete it and start the run again")
        sizes = [row.counted for row in rows]
        classes = torch.split(tensors["classes"].to(torch.int64), sizes)
        return [Lesson(*parts) for parts in zip(rows, classes, torch.split(tensors["logprobs"], sizes), strict=True)]


def _layout(rows: Sequence[TextRow]) -> dict[str, Tensor]:
    """The texts themselves: (L,) tokens of all, (R,) how many of them are each one's, (R,) where it begins to count."""
    return {
        "tokens": torch.tensor([token for row in rows for token in row.tokens], dtype=torch.int32),
        "lengths": torch.tensor([len(row.tokens) for row in rows], dtype=torch.int32),
        "firsts": torch.tensor([row.first for row in rows], dtype=torch.int32),
    }
