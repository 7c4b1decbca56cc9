"""Prompts out of any file, told apart by content; inputs named by content."""

from pathlib import Path

import pytest

from concordant.commands.data_selection import DataFile
from concordant.commands.prompt_sources import named_files, prompts_in
from concordant.comparison import Objective
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.prompts import Origin, Prompt
from concordant.store.prompt_files import write_prompts
from hh_rows import write_hh
from toy_lessons import preference


def test_prompts_and_comparisons_together(tmp_path: Path) -> None:
    written = Prompt(Conversation().human("by a model"), Objective.HARMLESS, Origin.MODEL)
    write_prompts(tmp_path / "p.jsonl.gz", [written])
    write_hh(tmp_path / "hh.jsonl", [preference("by people", "yes", "no")])
    with (tmp_path / "hh.jsonl").open("a") as file:
        file.write("nonsense\n")
    files = [DataFile(tmp_path / "p.jsonl.gz"), DataFile(tmp_path / "hh.jsonl", "harmless")]
    found, dropped = prompts_in(files)
    assert found == [written, Prompt(Conversation().human("by people"), Objective.HARMLESS)]
    assert dropped == {"not JSON": 1}
    names = named_files(files).split(", ")
    assert names[0].startswith("p.jsonl.gz@") and names[1].startswith("harmless=hh.jsonl@") and len(names[1]) == 30
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match=r"empty.jsonl holds no prompt \(it is empty\)"):
        prompts_in([DataFile(tmp_path / "empty.jsonl")])
    with pytest.raises(UserError, match="does not exist"):
        prompts_in([DataFile(tmp_path / "none")])
