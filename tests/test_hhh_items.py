import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from concordant.comparison import Objective
from concordant.conversation import Speaker
from concordant.errors import UserError
from concordant.evaluate.hhh_items import read_hhh


def written(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows))
    return path


def row(category: str = "honest", prompt: str = "Is it so?", chosen: str = "Yes.", rejected: str = "No.") -> Any:
    return {"category": category, "prompt": prompt, "chosen": chosen, "rejected": rejected}


def test_lines_become_items_and_the_useless_are_counted(tmp_path: Path) -> None:
    path = written(
        tmp_path / "hhh.jsonl",
        row(),
        row("kind"),
        "",
        row("harmless", chosen="No."),
        "poem",
        row("harmless"),
        {"category": "other", "prompt": "x"},
        row(rejected=" "),
    )
    items, dropped = read_hhh([path])
    assert [(item.number, item.category) for item in items] == [(1, "honest"), (5, "harmless")]
    assert dropped == {
        "no category out of helpful, honest, harmless, other": 1,
        "equal replies": 1,
        "not a JSON object": 1,
        "no prompt, correct and incorrect reply": 1,
        "empty reply": 1,
    }
    first, last = (item.preference for item in items)
    assert (first.chosen, first.rejected, first.objective, first.source) == ("Yes.", "No.", Objective.HELPFUL, "honest")
    assert last.objective is Objective.HARMLESS


def test_a_prompt_whose_first_label_is_left_out_is_a_whole_conversation(tmp_path: Path) -> None:
    text = "Who are you?\n\nAssistant: A model.\n\nHuman: Sure?"
    items, _ = read_hhh([written(tmp_path / "f", row(prompt=text), row(prompt="\n\nHuman: " + text))])
    assert items[0].preference.prompt == items[1].preference.prompt
    assert [(turn.speaker, turn.text) for turn in items[0].preference.prompt.turns] == [
        (Speaker.HUMAN, "Who are you?"),
        (Speaker.ASSISTANT, "A model."),
        (Speaker.HUMAN, "Sure?"),
    ]
    with pytest.raises(UserError, match="1 prompt does not end on a human turn"):
        read_hhh([written(tmp_path / "g", row(prompt="Hi\n\nAssistant: yes"))])


def test_task_files_take_their_category_from_name_or_folder(tmp_path: Path) -> None:
    examples = [
        {"input": "Is it so?", "target_scores": {"No.": 0, "Yes.": 1}},
        {"input": "Is it so?", "target_scores": {"No.": 1, "Yes.": 1}},
        {"input": "Is it so?", "target_scores": {"No.": 1}},
        {"input": "Is it so?"},
    ]
    one = written(tmp_path / "honest" / "task.json", json.dumps({"name": "x", "examples": examples}, indent=2))
    two = written(tmp_path / "b.json", {"name": "hhh_alignment_other", "examples": examples[:1]})
    three = written(tmp_path / "helpful honest" / "task.json", {"examples": examples[:1]})
    items, dropped = read_hhh([one, two, three])
    assert [(item.number, item.category, item.preference.chosen) for item in items] == [
        (1, "honest", "Yes."),
        (5, "other", "Yes."),
    ]
    assert dropped == {
        "not two targets": 2,
        "not one correct target": 1,
        "no category out of helpful, honest, harmless, other": 1,
    }


def test_rows_of_choices_and_labels_and_packed_files(tmp_path: Path) -> None:
    content = json.dumps({"input": "Is it so?", "targets": {"choices": ["No.", "Yes."], "labels": [0, 1]}})
    path = tmp_path / "harmless.jsonl.gz"
    path.write_bytes(gzip.compress(content.encode()))
    items, dropped = read_hhh([path])
    assert (items[0].category, items[0].preference.chosen, dropped) == ("harmless", "Yes.", Counter())


@pytest.mark.parametrize(
    ("targets", "reason"),
    [
        ({"choices": "ab", "labels": [0, 1]}, "not two targets"),
        ({"choices": ["a", "b"], "labels": ["x", 1]}, "not one correct target"),
        ({"choices": [1, 2], "labels": [0, 1]}, "no prompt, correct and incorrect reply"),
        ([1, 2], "not two targets"),
    ],
)
def test_targets_of_another_shape_are_dropped(targets: Any, reason: str, tmp_path: Path) -> None:
    path = written(tmp_path / "f", {"category": "other", "input": "x", "targets": targets})
    with pytest.raises(UserError, match=f"no item of the HHH evaluation \\(1 {reason}\\)"):
        read_hhh([path])


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="absent does not exist; give JSON lines of"):
        read_hhh([tmp_path / "absent"])
    with pytest.raises(UserError, match="is a folder"):
        read_hhh([tmp_path])
    (tmp_path / "picture").write_bytes(b"\x89PNG")
    with pytest.raises(UserError, match="picture cannot be read"):
        read_hhh([tmp_path / "picture"])
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(UserError, match=r"cut\.gz cannot be read"):
        read_hhh([tmp_path / "cut.gz"])
    with pytest.raises(UserError, match=r"\(empty\)"):
        read_hhh([written(tmp_path / "empty")])


@pytest.mark.realdata
def test_the_published_items(real_data: Path) -> None:
    path = real_data / "hhh" / "hhh_alignment_221.jsonl"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    items, dropped = read_hhh([path])
    assert Counter(item.category for item in items) == {"helpful": 59, "honest": 61, "harmless": 58, "other": 43}
    assert dropped == {}
    assert sum(item.preference.prompt.human_turns > 1 for item in items) == 41
