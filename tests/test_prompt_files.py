"""Files of prompts: written and read back, told apart from comparisons, bad rows counted."""

import json
from pathlib import Path

import pytest

from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.prompts import Origin, Prompt
from concordant.store.prompt_files import holds_prompts, prompts_of, read_prompts, write_prompts
from hh_rows import write_hh
from toy_lessons import good_over_bad

PROMPTS = [
    Prompt(Conversation().human("Hi").assistant("Hello – 你好").human("and\nnow?"), Objective.HELPFUL),
    Prompt(Conversation().human("Say something cruel"), Objective.HARMLESS, Origin.MODEL),
]


@pytest.mark.parametrize("name", ["p.jsonl", "p.jsonl.gz"])
def test_there_and_back(name: str, tmp_path: Path) -> None:
    assert write_prompts(tmp_path / name, PROMPTS) == 2
    found = read_prompts(tmp_path / name)
    assert (found.prompts, found.dropped) == (PROMPTS, {})
    assert holds_prompts(tmp_path / name)


def test_bad_rows_are_counted(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "human", "content": "no objective, no origin"}]},
        {"messages": [{"role": "system", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x"}], "origin": "martian"},
        {"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]},
        {"messages": [{"role": "user", "content": " "}]},
        {"chosen": "x"},
    ]
    file = tmp_path / "p.jsonl"
    file.write_text("\n".join(map(json.dumps, rows)) + "\nnonsense\n\n")
    found = read_prompts(file, Objective.HARMLESS)
    assert found.prompts == [Prompt(Conversation().human("no objective, no origin"), Objective.HARMLESS)]
    assert found.dropped == {
        "a message without role (user or assistant) and text": 1,
        "unknown objective or origin": 1,
        "does not end on a human turn": 1,
        "empty message": 1,
        "no list of messages": 1,
        "not JSON": 1,
    }


def test_comparisons_are_no_prompts_but_have_some(tmp_path: Path) -> None:
    lessons = good_over_bad(3)
    write_hh(tmp_path / "hh.jsonl", lessons)
    assert not holds_prompts(tmp_path / "hh.jsonl")
    assert [one.conversation for one in prompts_of(lessons)] == [lesson.prompt for lesson in lessons]


def test_a_file_without_prompts_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text("")
    with pytest.raises(UserError, match=r"p.jsonl holds no prompt \(it is empty\); give a .jsonl"):
        read_prompts(file)
    file.write_text('{"messages": []}\n')
    with pytest.raises(UserError, match=r"line 1: does not end on a human turn"):
        read_prompts(file)
    with pytest.raises(UserError, match="does not exist"):
        read_prompts(tmp_path / "none")
