"""Copies of a preference model from on the way of its run (paper §3.1, A.2).

The rate is constant after warm-up, so a run that had ended there would have made the same model: one run gives a whole
learning curve. A copy is therefore the folder of a run itself, with what such a run would have logged and reported.
Left out: a checkpoint to go on from, which holds the optimiser too.
"""

import json
from collections.abc import Callable
from pathlib import Path

from concordant.models.card import write_card
from concordant.runs import Json, Run, whole_folder, write_whole


def keep_copy(run: Run, comparisons: int, result: Json, save: Callable[[Path], None]) -> None:
    """Write ``run.kept/<comparisons>``, whole, unless it stands there already.

    Args:
        run: what is being trained; its metrics end with the step after which the copy is kept.
        comparisons: how many it has seen.
        result: what a run that ended here would report.
        save: writes the model into a folder, and leaves it as it is.
    """
    final = run.kept / str(comparisons)
    if final.exists():  # the run was killed and went on from before it; on a CPU it would be the same, bit for bit
        return
    run.kept.mkdir(exist_ok=True)
    head = run.head
    head["config"].pop("keep_at", None)
    head["parents"] |= {"run": run.name, "kept_at": str(comparisons)}
    with whole_folder(final, ".new.") as folder:
        copy = Run(folder)
        copy.model.mkdir()
        save(copy.model)
        write_whole(folder / "config.json", json.dumps(head, indent=2) + "\n")
        write_whole(folder / "metrics.jsonl", "".join(json.dumps(row) + "\n" for row in run.metrics()))
        write_card(copy, result, name=Run(final).name)
        copy.finish(result)
