"""The benchmarks by name: where their rows come from, how a question is put, what counts (paper §4.6.1, App. E).

Two wordings. "paper": multiple choice with lettered choices shown in the prompt and the answer's text scored; LAMBADA
with examples as a blank to be filled. "harness": the usual ones of lm-eval, in which choices are not shown (MMLU:
shown, and the letter scored). The paper does not say whether the scored text has its letter; here it has none.
Few-shot examples are the same for all items: the first k of the examples, from the validation part where there is one.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from concordant.errors import UserError
from concordant.evaluate import benchmark_items as read
from concordant.evaluate.benchmark_files import find_file
from concordant.evaluate.benchmark_items import Item, Reader

Wording = Literal["paper", "harness"]
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True, slots=True)
class Task:
    """One benchmark.

    Attributes:
        name: as it is asked for.
        title: as it is shown.
        reader: of a row; none where ``hhh_items`` reads the file.
        files: stems of the file with its items, the best first.
        examples: stems of files with few-shot examples.
        hub: where it is on the hub: (id, config, split of items, split of examples or nothing).
        kind: what is asked of the model.
        metric: lm-eval's name for what counts first.
        chance: what guessing gives.
        answer: the word before an answer; nothing where a text is only continued.
    """

    name: str
    title: str
    reader: Reader | None
    files: tuple[str, ...]
    examples: tuple[str, ...]
    hub: tuple[str, str | None, str, str]
    kind: Literal["choice", "word", "answer", "one-true", "pairs", "program"] = "choice"
    metric: str = "acc"
    chance: float = 0.25
    answer: str = "Answer"


_ARC = ("allenai/ai2_arc", "test", "validation")
TASKS = {
    task.name: task
    for task in (
        Task("mmlu", "MMLU", read.mmlu, ("mmlu_test", "mmlu"), ("mmlu_dev", "mmlu"),
             ("cais/mmlu", "all", "test", "dev")),
        Task("lambada", "LAMBADA", read.lambada, ("lambada_test", "lambada"),
             ("lambada_val", "lambada_dev", "lambada_train"),
             ("EleutherAI/lambada_openai", "default", "test", ""), "word", chance=0.0, answer=""),
        Task("hellaswag", "HellaSwag", read.hellaswag, ("hellaswag_val", "hellaswag"), ("hellaswag_train",),
             ("Rowan/hellaswag", None, "validation", "train"), metric="acc_norm", answer=""),
        Task("openbookqa", "OpenBookQA", read.openbookqa, ("openbookqa_test",),
             ("openbookqa_val", "openbookqa_dev", "openbookqa_train"),
             ("allenai/openbookqa", "main", "test", "validation"), metric="acc_norm"),
        Task("arc-easy", "ARC easy", read.arc, ("arc_easy_test",), ("arc_easy_dev", "arc_easy_val", "arc_easy_train"),
             (_ARC[0], "ARC-Easy", *_ARC[1:])),
        Task("arc-challenge", "ARC challenge", read.arc, ("arc_challenge_test",),
             ("arc_challenge_dev", "arc_challenge_val", "arc_challenge_train"), (_ARC[0], "ARC-Challenge", *_ARC[1:]),
             metric="acc_norm"),
        Task("triviaqa", "TriviaQA", read.triviaqa, ("triviaqa_validation", "triviaqa_dev", "triviaqa_test"),
             ("triviaqa_train",),
             ("mandarjoshi/trivia_qa", "rc.nocontext", "validation", "train"), "answer", "exact_match", 0.0),
        Task("truthfulqa", "TruthfulQA", read.truthfulqa, ("truthfulqa", "truthful_qa"), (),
             ("truthfulqa/truthful_qa", "multiple_choice", "validation", ""), "one-true", chance=0.2),
        Task("hhh", "HHH", None, ("hhh_alignment", "hhh"), (), ("", None, "", ""), "pairs", chance=0.5),
        Task("humaneval", "HumanEval", read.humaneval, ("humaneval",), (),
             ("openai/openai_humaneval", None, "test", ""), "program", "pass@1", 0.0),
    )
}  # fmt: skip

PAPER_TASKS = ("mmlu", "lambada", "hellaswag", "openbookqa", "arc-easy", "arc-challenge", "triviaqa")
"""The seven of Fig. 3, 28 and 29."""

_EXAMPLE_SPLITS = ("dev", "val", "validation", "train", "auxiliary_train")


@dataclass(frozen=True, slots=True)
class Material:
    """A benchmark's items and few-shot examples, with what was left out of its files.

    Attributes:
        task: which.
        items: what is asked.
        examples: few-shot examples; none where there is no file of them.
        dropped: rows that cannot be used by reason.
        path: the file of the items; None from the hub.
    """

    task: Task
    items: list[Item]
    examples: list[Item]
    dropped: Counter[str]
    path: Path | None = None


def material_of(task: Task, folders: Sequence[Path]) -> Material | None:
    """The task's items out of local files; None where they are not there.

    Raises:
        UserError: its file is damaged, empty, or of other columns.
    """
    path = find_file(folders, task.files)
    if path is None:
        return None
    if task.reader is None:
        return Material(task, [], [], Counter(), path)
    items, dropped = read.read_items(path, task.reader, task.name)
    aside = [item for item in items if item.split in _EXAMPLE_SPLITS]
    items = [item for item in items if item.split not in _EXAMPLE_SPLITS]
    if not items:
        raise UserError(f"{path} holds examples of {task.name} and no item of its test; give the test too")
    shown = find_file(folders, task.examples) if task.examples else None
    examples = [item for item in aside if item.split == "dev"] or aside
    if not examples and shown not in (None, path):
        assert shown is not None
        examples, _ = read.read_items(shown, task.reader, task.name)
    asked = {item.key for item in items}
    return Material(task, items, [item for item in examples if item.key not in asked], dropped, path)


def drawn(items: list[Item], limit: int | None) -> list[Item]:
    """All items, or ``limit`` of them, always the same ones, in their order."""
    if limit is None or limit >= len(items):
        return items
    chosen = set(random.Random("limit").sample(range(len(items)), limit))
    return [item for place, item in enumerate(items) if place in chosen]


def config_of(task: Task, wording: Wording, few: bool) -> dict[str, Any]:
    """lm-eval's description of the task, but for its rows and its name; rows are of ``row_of``.

    Args:
        task: of one of lm-eval's kinds.
        wording: how questions are put.
        few: whether examples stand before the question.
    """
    config: dict[str, Any] = {
        "test_split": "test",
        "fewshot_split": "examples",
        "fewshot_config": {"sampler": "first_n"},
        "doc_to_text": "text",
        "doc_to_target": "target",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "metadata": {"version": 1},
    }
    if task.kind == "answer":
        until = {"until": ["\n", ".", ","], "do_sample": False, "max_gen_toks": 24}
        trim = {"name": "trimmed", "filter": [{"function": "remove_whitespace"}, {"function": "take_first"}]}
        exact = {"metric": "exact_match", "aggregation": "mean", "ignore_case": True, "ignore_punctuation": True}
        return config | {
            "output_type": "generate_until",
            "generation_kwargs": until,
            "filter_list": [trim],
            "metric_list": [exact | {"higher_is_better": True}],
        }
    named = ("acc",) if task.kind == "word" else ("acc", "acc_norm")
    metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in named]
    if task.kind == "word":
        return config | {"output_type": "loglikelihood", "target_delimiter": "", "metric_list": metrics}
    return config | {"output_type": "multiple_choice", "doc_to_choice": "choices", "metric_list": metrics}


def row_of(task: Task, item: Item, wording: Wording, few: bool) -> dict[str, Any]:
    """One row as lm-eval reads it: text, target, choices, and the item's key."""
    row: dict[str, Any] = {"key": item.key, "text": _text(task, item, wording, few), "choices": list(item.options)}
    if task.kind == "answer":
        return row | {"target": list(item.answers)}
    if task.kind == "word":
        return row | {"target": f" {item.answers[0]}"}
    if task.name == "mmlu" and wording == "harness":
        row["choices"] = list(LETTERS[: len(item.options)])
    return row | {"target": item.gold}


def _text(task: Task, item: Item, wording: Wording, few: bool) -> str:
    if task.kind == "word":
        return f"{item.prompt} ____. ->" if few and wording == "paper" else item.prompt
    if not task.answer:
        return item.prompt
    if task.name == "mmlu" and wording == "harness":
        shown = "".join(f"\n{letter}. {text}" for letter, text in zip(LETTERS, item.options, strict=False))
        return f"{item.prompt}{shown}\nAnswer:"
    if task.name == "openbookqa" and wording == "harness":
        return item.prompt
    shown = ""
    if item.options and wording == "paper" and task.kind == "choice":
        named = zip(LETTERS, item.options, strict=False)
        shown = "\nChoices:" + "".join(f" ({letter}) {text}" for letter, text in named)
    return f"Question: {item.prompt}{shown}\nAnswer:"
