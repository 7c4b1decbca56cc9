from pathlib import Path

import pytest

from benchmark_folder import make_benchmarks
from concordant.errors import UserError
from concordant.evaluate.benchmark_items import Item
from concordant.evaluate.capability_tasks import PAPER_TASKS, TASKS, drawn, material_of, row_of

ITEM = Item("k", "What is hot?", ("ice", "steam"), 1)


def test_the_papers_seven_are_there() -> None:
    assert set(PAPER_TASKS) <= TASKS.keys() and len(PAPER_TASKS) == 7


def test_the_two_wordings() -> None:
    arc, mmlu, word = TASKS["arc-easy"], TASKS["mmlu"], TASKS["lambada"]
    paper, harness = (row_of(arc, ITEM, wording, False) for wording in ("paper", "harness"))
    assert paper["text"] == "Question: What is hot?\nChoices: (A) ice (B) steam\nAnswer:"
    assert harness["text"] == "Question: What is hot?\nAnswer:"
    assert paper["choices"] == harness["choices"] == ["ice", "steam"] and paper["target"] == 1
    letters = row_of(mmlu, ITEM, "harness", False)
    assert (letters["text"], letters["choices"]) == ("What is hot?\nA. ice\nB. steam\nAnswer:", ["A", "B"])
    assert row_of(TASKS["openbookqa"], ITEM, "harness", False)["text"] == "What is hot?"
    assert row_of(TASKS["hellaswag"], ITEM, "paper", False)["text"] == "What is hot?"
    last = Item("k", "I saw a", answers=("cat",))
    assert row_of(word, last, "paper", False)["text"] == "I saw a"
    assert row_of(word, last, "paper", True) == {
        "key": "k", "text": "I saw a ____. ->", "choices": [], "target": " cat"
    }  # fmt: skip
    assert row_of(word, last, "harness", True)["text"] == "I saw a"


def test_files_are_found_and_parts_kept_apart(tmp_path: Path) -> None:
    folder = make_benchmarks(tmp_path)
    mmlu = material_of(TASKS["mmlu"], [folder])
    assert mmlu is not None
    assert [len(mmlu.items), {item.split for item in mmlu.items}] == [6, {"test"}]
    assert {item.split for item in mmlu.examples} == {"dev"}
    arc = material_of(TASKS["arc-easy"], [folder])
    assert arc is not None and (len(arc.items), len(arc.examples)) == (6, 3)
    lambada = material_of(TASKS["lambada"], [folder])
    assert lambada is not None and lambada.examples == []
    (folder / "mmlu.jsonl").unlink()
    assert material_of(TASKS["mmlu"], [folder]) is None


def test_an_example_is_never_a_question(tmp_path: Path) -> None:
    folder = make_benchmarks(tmp_path)
    (folder / "arc_easy_dev.jsonl").write_text((folder / "arc_easy_test.jsonl").read_text())
    arc = material_of(TASKS["arc-easy"], [folder])
    assert arc is not None and arc.examples == []


def test_a_file_of_other_columns_is_named(tmp_path: Path) -> None:
    (tmp_path / "hellaswag.csv").write_text("a,b\n1,2\n")
    with pytest.raises(
        UserError, match=r"hellaswag.csv holds no item of hellaswag \(1 with no list in column 'endings'"
    ):
        material_of(TASKS["hellaswag"], [tmp_path])


def test_a_limit_draws_the_same_items_again() -> None:
    items = [Item(str(number), "x") for number in range(50)]
    assert drawn(items, 10) == drawn(items, 10)
    assert len(drawn(items, 10)) == 10 and drawn(items, 10) != items[:10]
    assert drawn(items, None) == drawn(items, 99) == items
