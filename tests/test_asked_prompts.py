import json
from pathlib import Path

import pytest

from concordant.commands.asked_prompts import prompt_rows, read_prompt_files
from concordant.comparison import Objective, Tranche
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.imports import import_files
from concordant.store.preferences import Filter

HI = "\n\nHuman: hi\n\nAssistant: "
ROWS = [
    {"chosen": HI + "yes", "rejected": HI + "no"},
    {"prompt": "How?", "id": 7},
    {"category": "other", "prompt": "Why?", "chosen": "so", "rejected": "no"},
    {"prompt": "Who?", "replies": ["me", "you"]},
    {"messages": [{"role": "user", "content": "When?"}, {"role": "assistant", "content": "Now."}]},
    {"messages": [{"role": "user", "content": "Where?"}]},
    {"transcript": "\n\nHuman: Whose?"},
    {"prompt": "\n\nHuman: a\n\nAssistant: b"},
    {"prompt": 3},
    {"chosen": HI + "yes", "rejected": "\n\nHuman: other\n\nAssistant: no"},
]


def written(path: Path) -> Path:
    path.write_text("\n".join(map(json.dumps, ROWS)))
    return path


def test_the_prompt_of_every_form(tmp_path: Path) -> None:
    rows = list(prompt_rows(written(tmp_path / "p.jsonl")))
    assert [row.prompt.turns[-1].text if row.prompt else row.flaw for row in rows] == [
        "hi",
        "How?",
        "Why?",
        "Who?",
        "When?",
        "Where?",
        "Whose?",
        "the prompt does not end on a human turn",
        "'prompt' is neither text nor a list of messages",
        "hi",
    ]
    assert [(row.line, row.id) for row in rows[:2]] == [(1, None), (2, 7)]


def test_files_follow_one_another_with_their_names(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text('{"prompt": "Whence?"}\n[]\n')
    found, dropped = read_prompt_files([written(tmp_path / "p.jsonl"), tmp_path / "q.jsonl"])
    assert found[0] == (Conversation().human("hi"), "p.jsonl")
    assert found[-1] == (Conversation().human("Whence?"), "q.jsonl")
    assert len(found) == 9
    assert dropped == {
        "the prompt does not end on a human turn": 1,
        "'prompt' is neither text nor a list of messages": 1,
        "not a JSON object": 1,
    }


def test_a_frozen_data_set(tmp_path: Path) -> None:
    (tmp_path / "hh.jsonl").write_text(json.dumps(ROWS[0]))
    database = Database.open(f"sqlite:///{tmp_path}/store.sqlite")
    import_files(database, [tmp_path / "hh.jsonl"], Objective.HELPFUL, Tranche.BASE)
    frozen = freeze(database, "spring", Filter(), tmp_path)
    database.close()
    assert read_prompt_files([Path(frozen.path)])[0] == [(Conversation().human("hi"), Path(frozen.path).name)]


def test_a_file_without_a_prompt_is_named(tmp_path: Path) -> None:
    (tmp_path / "q.jsonl").write_text("[]\n")
    with pytest.raises(UserError, match=r"q\.jsonl holds no prompt; give a frozen data set"):
        read_prompt_files([tmp_path / "q.jsonl"])
