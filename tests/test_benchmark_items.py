import json
from pathlib import Path
from typing import Any

import pytest

from concordant.errors import UserError
from concordant.evaluate import benchmark_items as read
from concordant.evaluate.benchmark_files import Unusable
from concordant.evaluate.benchmark_items import Item, items_of, read_items

LABELLED = [{"text": "ice", "label": "A"}, {"text": "steam", "label": "B"}]
OWN = {"question": {"stem": "What is hot?", "choices": LABELLED}, "answerKey": "B"}


def parts(item: Item) -> tuple[str, tuple[str, ...], int]:
    return item.prompt, item.options, item.gold


@pytest.mark.parametrize(
    "row",
    [
        OWN,
        {"question": "What is hot?", "choices": {"text": ["ice", "steam"], "label": ["A", "B"]}, "answerKey": "B"},
        {"question_stem": "What is hot?", "choices": {"text": ["ice", "steam"], "label": ["1", "2"]}, "answerKey": "2"},
    ],
)
def test_arc_in_every_form_is_one_item(row: dict[str, Any]) -> None:
    assert parts(read.arc(row)) == ("What is hot?", ("ice", "steam"), 1)
    assert read.arc(row).key == read.arc(OWN).key


def test_openbookqa_as_an_instruction() -> None:
    text = (
        "Please choose the correct answer to the question: Fog is found: often at\n\nAnswer1: a marsh "
        "Answer2: a tundra Answer3: the plains Answer4: a desert\n\nAnswer format: answer1/answer2/answer3/answer4"
    )
    item = read.openbookqa({"instruction": text, "answer": "answer3"})
    assert parts(item) == ("Fog is found: often at", ("a marsh", "a tundra", "the plains", "a desert"), 2)
    assert parts(read.openbookqa(OWN)) == ("What is hot?", ("ice", "steam"), 1)


def test_mmlu_takes_letters_and_numbers() -> None:
    row = {"split": "dev", "subject": "law", "question": "Which?", "choices": ["a", "b", "c", "d"], "answer": "C"}
    item = read.mmlu(row)
    assert (parts(item), item.group, item.split) == (("Which?", ("a", "b", "c", "d"), 2), "law", "dev")
    assert read.mmlu({**row, "answer": 2}).gold == 2
    with pytest.raises(Unusable, match="no right option"):
        read.mmlu({**row, "answer": "E"})


def test_hellaswag_is_put_together_and_cleaned() -> None:
    row = {
        "activity_label": "Vault", "ctx_a": "[header] How to vault [title] Run.", "ctx_b": "a few Women",
        "endings": ["jump.", "sit [step] down.", "a", "b"], "label": "1",
    }  # fmt: skip
    item = read.hellaswag(row)
    assert parts(item) == ("Vault: How to vault. Run. A few women", ("jump.", "sit down.", "a", "b"), 1)


def test_lambada_asks_for_the_last_word() -> None:
    item = read.lambada({"text": "I don't care about signs\n"})
    assert (item.prompt, item.answers) == ("I don't care about", ("signs",))


def test_triviaqa_knows_all_names() -> None:
    row = {"question": "Who?", "answer": {"value": "Tom", "aliases": ["Thomas", "Tom"]}}
    assert read.triviaqa(row).answers == ("Tom", "Thomas")


def test_truthfulqa_as_a_table_and_from_the_hub() -> None:
    row = {"Question": "Q?", "Best Answer": "True", "Incorrect Answers": "False; Wrong ", "Category": "Myths"}
    assert parts(read.truthfulqa(row)) == ("Q?", ("True", "False", "Wrong"), 0)
    hub = {"question": "Q?", "mc1_targets": {"choices": ["False", "True", "Wrong"], "labels": [0, 1, 0]}}
    assert parts(read.truthfulqa(hub)) == ("Q?", ("False", "True", "Wrong"), 1)


def test_humaneval_keeps_its_tests() -> None:
    item = read.humaneval({"prompt": "def f():\n", "test": "def check(c): pass", "entry_point": "f"})
    assert (item.prompt, item.extra) == ("def f():\n", ("def check(c): pass", "f"))


def test_rows_are_dropped_by_reason_and_doubles_count_once(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [OWN, OWN, {"question": "only"}, {"prompt": "x"}]
    items, dropped = items_of(rows, read.arc)
    assert len(items) == 1
    assert dropped == {
        "a question that is there already": 1,
        "no column 'choices' with labels and texts": 1,
        "no text in column 'stem' or 'question_stem' or 'question'": 1,
    }
    path = tmp_path / "arc_easy_test.jsonl"
    path.write_text(json.dumps({"prompt": "x"}))
    with pytest.raises(UserError, match=r"holds no item of arc-easy \(1 with no text in column 'stem'") as error:
        read_items(path, read.arc, "arc-easy")
    assert "\n" not in str(error.value)


@pytest.mark.realdata
def test_the_real_files_are_read_whole(real_data: Path) -> None:
    counts = {
        ("arc_easy_test", "arc"): 2376, ("arc_challenge_test", "arc"): 1170, ("hellaswag_val_1000", "hellaswag"): 1000,
        ("lambada_test", "lambada"): 5153, ("HumanEval", "humaneval"): 164,
    }  # fmt: skip
    for (stem, reader), count in counts.items():
        items, dropped = read_items(real_data / f"evals/{stem}.jsonl.gz", getattr(read, reader), stem)
        assert (
            len(items) + dropped["a question that is there already"],
            dropped.keys() - {"a question that is there already"},
        ) == (count, set())
    items, dropped = read_items(real_data / "evals/openbookqa_test.json.gz", read.openbookqa, "openbookqa")
    assert len(items) > 490 and {len(item.options) for item in items} == {4}
    items, _ = read_items(real_data / "evals/truthfulqa_half.csv", read.truthfulqa, "truthfulqa")
    assert len(items) > 350
