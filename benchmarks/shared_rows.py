"""One row per comparison against two padded rows: comparisons a second in training, on the same pairs.

Both sides compute the same loss with the same model, batch and optimiser; the share of the machine's matrix-product
rate stands beside them. Writes shared_rows.json. Left out: other libraries (they need environments of their own).
"""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from matmul import matmul_rate

from concordant.collect.openings import openings
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.models.base_models import cache_folder, fetch
from concordant.models.preference_model import PreferenceModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.train.losses import preference_loss

PAIRS, BATCH = 16, 8


def main() -> None:
    model = PreferenceModel.from_language_model(fetch("smollm2-135m", cache_folder()), seed=0)
    model.network.requires_grad_(True)
    rows = _rows(model)
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "pairs": PAIRS, "batch": BATCH}
    result["matmul_gflops"] = round(matmul_rate(), 1)
    for name, work in (("shared", _shared), ("padded", _padded)):
        work(model, rows[:BATCH])
        began = time.perf_counter()
        losses = [work(model, rows[start : start + BATCH]) for start in range(0, PAIRS, BATCH)]
        seconds = time.perf_counter() - began
        result[name] = {"pairs_per_second": round(PAIRS / seconds, 3), "loss": sum(losses) / PAIRS}
    result["ratio"] = round(result["shared"]["pairs_per_second"] / result["padded"]["pairs_per_second"], 2)
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


def _rows(model: PreferenceModel) -> list[SharedRow]:
    """Conversations of two turns with two replies of 30 to 60 words each."""
    rng = random.Random(0)
    vocabulary = " ".join(openings(Objective.HELPFUL)).split()
    rows = []
    for opening in rng.sample(openings(Objective.HELPFUL), PAIRS):
        prompt = Conversation().human(opening).assistant(" ".join(rng.choices(vocabulary, k=60))).human("Go on.")
        replies = [" ".join(rng.choices(vocabulary, k=rng.randint(30, 60))) for _ in range(2)]
        row = model.row(prompt, replies)
        assert row is not None
        rows.append(row)
    return rows


def _shared(model: PreferenceModel, rows: list[SharedRow]) -> float:
    return _train(model, lambda: model.scores(RowBatch.pack(rows)))


def _padded(model: PreferenceModel, rows: list[SharedRow]) -> float:
    single = [SharedRow(row.prompt, [reply]) for row in rows for reply in row.replies]
    return _train(model, lambda: model.scores(RowBatch.pack(single)))


def _train(model: PreferenceModel, scores: Callable[[], torch.Tensor]) -> float:
    found = scores()
    loss = preference_loss(found[0::2], found[1::2]).sum()
    loss.backward()  # type: ignore[no-untyped-call]
    model.network.zero_grad(set_to_none=True)
    return loss.item()


if __name__ == "__main__":
    main()
