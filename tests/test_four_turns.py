"""Four turns yield four pairs in the HH format: each shares its prompt with its turn, and goes on from what was chosen.

A split at the first assistant turn instead of the last, or a rejected reply that slips into a later prompt, fails here.
"""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from concordant.comparison import Objective
from concordant.store.database import Database
from concordant.store.exports import export
from concordant.store.preferences import Filter
from visitors import Visitor, deploy_two, fresh_store, room_with, write_all

BUTTONS = (1, 7, 2, 8)
LAST = "\n\nAssistant: "


@pytest.fixture
def store(sqlite_template: Path, tmp_path: Path) -> Iterator[Database]:
    with fresh_store(sqlite_template, tmp_path) as database:
        deploy_two(database)
        yield database


def held(store: Database, objective: Objective) -> list[str]:
    """A conversation of four turns over the pages; returns the reply clicked at each."""
    policy = "helpful" if objective is Objective.HELPFUL else "red-team"
    visitor, clicked = Visitor(store, room_with(store, policy=policy)), []
    with visitor.client:
        visitor.start()
        for turn, button in enumerate(BUTTONS, start=1):
            visitor.say(f"question {turn}")
            write_all(store, f"one reply to {turn}", f"another reply to {turn}")
            clicked.append(visitor.page.texts["a" if button <= 4 else "b"])
            visitor.choose(button)
        visitor.send("/work/end", "rating", rating="4")
    return clicked


@pytest.mark.parametrize("objective", list(Objective))
def test_four_turns_are_four_pairs_with_the_right_prefixes(
    store: Database, tmp_path: Path, objective: Objective
) -> None:
    clicked = held(store, objective)
    out = tmp_path / "pairs.jsonl"
    export(store, out, "hh", Filter(objective=objective))
    rows = _loaded(out, tmp_path)
    assert len(rows) == 4
    rows.sort(key=lambda row: len(row["chosen"]))
    for turn, row in enumerate(rows):
        prompt, better = row["chosen"].rsplit(LAST, 1)
        same, worse = row["rejected"].rsplit(LAST, 1)
        assert prompt == same, "both sides of a pair answer the same prompt"
        replies = [part.split("\n\nHuman: ")[0] for part in prompt.split(LAST)[1:]]
        assert replies == clicked[:turn], "the prompt goes on with what was clicked"
        assert prompt.count(f"question {turn + 1}") == 1 and f"question {turn + 2}" not in prompt
        # In red-team work the more harmful reply is clicked, and is the rejected one.
        assert clicked[turn] == (better if objective is Objective.HELPFUL else worse)
        assert {better, worse} == {f"one reply to {turn + 1}", f"another reply to {turn + 1}"}


def _loaded(file: Path, folder: Path) -> list[dict[str, str]]:
    """The rows as the datasets library reads them, where it is installed; else as JSON lines."""
    if importlib.util.find_spec("datasets") is None:
        return [json.loads(line) for line in file.read_text().splitlines()]
    program = (
        "import datasets, json, sys; datasets.disable_progress_bars();"
        "rows = datasets.load_dataset('json', data_files=sys.argv[1], split='train', cache_dir=sys.argv[2]);"
        "print(json.dumps([{'chosen': row['chosen'], 'rejected': row['rejected']} for row in rows]))"
    )
    command = [sys.executable, "-c", program, str(file), str(folder / "cache")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, str]] = json.loads(done.stdout.splitlines()[-1])
    return rows
