"""One row for one prompt and all its replies: the prompt is computed once.

A row is ``prompt, reply 1, reply 2, …``. A 4-D attention mask hides the replies from each other, and positions start
again after the prompt for each of them, so every reply is computed as if it stood alone behind its prompt (tested:
equal to padded single rows to float precision). On HH comparisons this is 1.6 times fewer tokens than two padded rows.

Shape letters: B rows, T tokens of the longest row, N picked places.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

_PADDING = -1

PASS_COST = 96
"""Tokens' worth of time that a pass costs beside its tokens, on a CPU: measured with the 135M model on two cores
(docs/log.md); 1,024 tokens a pass with 17 % padding were as fast as 512 with 6 %."""

ACCELERATOR_PASS_COST = 8192
"""The same where a pass waits for its kernels to be launched: an order of magnitude, not measured."""


@dataclass(frozen=True, slots=True)
class SharedRow:
    """Tokens of one prompt and of the K replies to it.

    Attributes:
        prompt: what stands before every reply.
        replies: each with all that is computed for it.
        left_out: turns at the prompt's beginning for which there was no room.
    """

    prompt: list[int]
    replies: list[list[int]]
    left_out: int = field(default=0, compare=False)

    def __len__(self) -> int:
        return len(self.prompt) + sum(map(len, self.replies))


@dataclass(frozen=True, slots=True)
class RowBatch:
    """Rows side by side, padded on the right.

    Attributes:
        input_ids: (B, T) tokens; padding is 0, and no real token ever sees it.
        positions: (B, T) position of each token in its own prompt + reply.
        segments: (B, T) 0 in the prompt, k ≥ 1 in reply k, −1 in the padding.
    """

    input_ids: Int64[Tensor, "B T"]
    positions: Int64[Tensor, "B T"]
    segments: Int64[Tensor, "B T"]

    @classmethod
    def pack(cls, rows: Sequence[SharedRow], device: torch.device | str = "cpu") -> "RowBatch":
        width = max(map(len, rows))
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        positions = torch.zeros_like(ids)
        segments = torch.full_like(ids, _PADDING)
        for row, filled in enumerate(rows):
            start = 0
            for segment, tokens in enumerate([filled.prompt, *filled.replies]):
                end = start + len(tokens)
                offset = len(filled.prompt) if segment else 0
                ids[row, start:end] = torch.tensor(tokens, dtype=torch.int64)
                positions[row, start:end] = torch.arange(offset, offset + len(tokens))
                segments[row, start:end] = segment
                start = end
        return cls(ids.to(device), positions.to(device), segments.to(device))

    @property
    def attention(self) -> Bool[Tensor, "B 1 T T"]:
        """Which key each query sees: not later, and of the prompt or of its own reply. Padding sees itself only,
        so that no row of the softmax is empty."""
        width = self.segments.shape[1]
        query, key = self.segments[:, :, None], self.segments[:, None, :]
        earlier = torch.ones(width, width, dtype=torch.bool, device=key.device).tril()
        itself = torch.eye(width, dtype=torch.bool, device=key.device)
        visible = (key == 0) | ((key == query) & (key != _PADDING))
        return ((earlier & visible & (query != _PADDING)) | itself)[:, None]

    def reply_ends(self) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"]]:
        """(row, column) of the last token of every reply, rows first, replies in order: N = sum of K over rows."""
        following = torch.full_like(self.segments, _PADDING)
        following[:, :-1] = self.segments[:, 1:]
        rows, columns = ((self.segments > 0) & (following != self.segments)).nonzero(as_tuple=True)
        return rows, columns

    def reply_tokens(self) -> tuple[Int64[Tensor, " N"], Int64[Tensor, " N"], Int64[Tensor, " N"]]:
        """(row, column, predictor's column) of every reply token; the prompt's last token predicts each first one."""
        rows, columns = (self.segments > 0).nonzero(as_tuple=True)
        first = self.positions[rows, columns] == (self.segments == 0).sum(dim=1)[rows]
        prompt_end = (self.segments == 0).sum(dim=1)[rows] - 1
        return rows, columns, torch.where(first, prompt_end, columns - 1)


def within_budget(
    rows: Sequence[SharedRow], row_tokens: int, device: torch.device | str = "cpu"
) -> Iterator[list[int]]:
    """Indices of rows in groups whose padded size (rows x longest) is at most ``row_tokens``, longest rows together.

    A row that is larger than the budget goes alone. Of all ways to cut the rows, sorted by length, into groups, it is
    the one of least work: padded tokens, and for every pass what a pass costs beside its tokens. So lengths are grouped
    within what is given and the order of training stays as it was drawn; the grouping does not change a gradient that
    is summed over groups.

    Args:
        rows: of one batch.
        row_tokens: bounds the memory of a pass.
        device: where the passes will run; a pass costs more tokens' worth of time on an accelerator.
    """
    order = sorted(range(len(rows)), key=lambda index: -len(rows[index]))
    lengths = [len(rows[index]) for index in order]
    cost = PASS_COST if torch.device(device).type == "cpu" else ACCELERATOR_PASS_COST
    least, ends = [0] * (len(rows) + 1), [0] * len(rows)
    for start in reversed(range(len(rows))):  # least[start]: work of all rows from there on
        most = max(1, row_tokens // max(1, lengths[start]))
        found = [
            (cost + (end - start) * lengths[start] + least[end], -end)
            for end in range(start + 1, min(len(rows), start + most) + 1)
        ]
        least[start], end = min(found)
        ends[start] = -end
    start = 0
    while start < len(rows):
        yield order[start : ends[start]]
        start = ends[start]
