"""Benchmarks from the hub, where there is no local file: the same items, out of the rows that are published there."""

from collections import Counter

from concordant.errors import UserError
from concordant.evaluate.benchmark_items import Item, items_of
from concordant.evaluate.capability_tasks import Material, Task
from concordant.evaluate.harness import hub_rows


def hub_material(task: Task, few: bool) -> Material:
    """The task's items, and its few-shot examples where they are wanted.

    Raises:
        UserError: the hub cannot be reached, or its rows are of another form.
    """
    assert task.reader is not None, "a task without a reader is not on the hub"
    path, config, split, shown = task.hub
    items, dropped = items_of(hub_rows(path, config, split), task.reader)
    if not items:
        raise UserError(f"{path} on the hub holds no item of {task.name}; give local files with --data DIR")
    examples: list[Item] = []
    if few and shown:
        examples, _ = items_of(hub_rows(path, config, shown), task.reader)
    asked = {item.key for item in items}
    return Material(task, items, [item for item in examples if item.key not in asked], Counter(dropped))
