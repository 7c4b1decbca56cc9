"""The teacher's stored output: what it says, in which files, and that another teacher's is never taken for it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import concordant.train.teacher_shards as teacher_shards
from concordant.errors import UserError
from concordant.models.language_model import LanguageModel
from concordant.models.prompted import PromptedModel
from concordant.models.shared_rows import RowBatch, SharedRow
from concordant.models.text_rows import TextRow
from concordant.runs import write_whole
from concordant.train.teacher_shards import TeacherShards
from toy_model import ToyModels

ROWS = [
    TextRow([10, 20 + number, *range(30, 33 + number % 4)], 1 + number % 2, str(number), False) for number in range(10)
]
PREFIX = [65, 66, 67, 68]
MADE_BY = {"teacher": "toy@1", "prompt": "2"}
WIDTH = 300


def shards(folder: Path, **changes: Any) -> TeacherShards:
    usual: dict[str, Any] = {"folder": folder, "rows": ROWS, "k": 5, "width": WIDTH, "shard_texts": 4}
    return TeacherShards(**{**usual, **changes})


@pytest.fixture
def teacher(toy: ToyModels) -> PromptedModel:
    return PromptedModel.after(PREFIX, LanguageModel.load(toy.chat), 8)


def silent(*_: object) -> None:
    pass


def test_what_is_stored_is_what_the_whole_text_gives(teacher: PromptedModel, tmp_path: Path) -> None:
    store = shards(tmp_path)
    store.begin(MADE_BY)
    told: list[tuple[int, int]] = []
    store.fill(teacher, 64, lambda done, total, seen: told.append((done, total)))
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)] and store.missing == []
    lessons = store.lessons(0, 10)
    assert [lesson.row for lesson in lessons] == ROWS
    for lesson in lessons:
        row = lesson.row
        with torch.inference_mode():
            hidden = teacher.model.hidden(RowBatch.pack([SharedRow([*PREFIX, *row.tokens], [])]))[0]
            logits = teacher.model.causal.get_output_embeddings()(hidden[len(PREFIX) + row.first - 1 : -1])
        expected = logits.log_softmax(dim=1).topk(5, dim=1)
        assert torch.equal(lesson.tokens, expected.indices)
        torch.testing.assert_close(lesson.logprobs[:, :5], expected.values, atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(
            lesson.logprobs[:, 5].exp(), 1 - expected.values.exp().sum(dim=1), atol=1e-5, rtol=1e-4
        )


def test_two_students_do_not_fill_one_folder_at_the_same_time(teacher: PromptedModel, tmp_path: Path) -> None:
    """One line for the second; once the first one has what it needs, both read."""
    first, second = shards(tmp_path / "both"), shards(tmp_path / "both")
    with first.alone():
        first.begin(MADE_BY)
        with pytest.raises(UserError, match=r"both is being filled with a teacher's output by another process; wait"):
            second.alone().__enter__()
        first.fill(teacher, 64, silent)
    with second.alone():
        second.begin(MADE_BY)
        assert second.missing == []
    assert [one.row for one in first.lessons(0, 10)] == [one.row for one in second.lessons(0, 10)] == ROWS


def test_sizes_are_known_before(teacher: PromptedModel, tmp_path: Path) -> None:
    """Five tokens of two bytes and six log-probabilities of four a place; larger vocabularies take four bytes."""
    store = shards(tmp_path)
    counted = sum(len(row.tokens) - row.first for row in ROWS)
    assert store.counted == counted
    assert store.bytes == counted * (5 * 2 + 6 * 4) + 4 * sum(len(row.tokens) + 2 for row in ROWS)
    assert shards(tmp_path, width=70_000).bytes - store.bytes == counted * 5 * 2
    store.begin(MADE_BY)
    store.fill(teacher, 64, silent)
    on_disk = sum(sum(t.nbytes for t in load_file(store.path(number)).values()) for number in range(3))
    assert on_disk == store.bytes


def test_a_killed_run_makes_the_missing_shards(
    teacher: PromptedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed while the second is written: the first stands, the rest are made, and nothing differs."""
    whole = shards(tmp_path / "whole")
    whole.begin(MADE_BY)
    whole.fill(teacher, 64, silent)

    def killed(path: Path, content: str | bytes) -> None:
        if "00001" in path.name:
            (path.parent / f".{path.name}.half").write_bytes(b"half")
            raise KeyboardInterrupt
        write_whole(path, content)

    store = shards(tmp_path / "killed")
    store.begin(MADE_BY)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(teacher_shards, "write_whole", killed)
        store.fill(teacher, 64, silent)
    again = shards(tmp_path / "killed")
    again.begin(MADE_BY)
    assert again.missing == [1, 2] and not list(again.folder.glob(".shard-*"))
    first = again.path(0).stat().st_mtime_ns
    again.fill(teacher, 64, silent)
    assert again.path(0).stat().st_mtime_ns == first
    for number in range(3):
        assert again.path(number).read_bytes() == whole.path(number).read_bytes()


@pytest.mark.parametrize(
    ("made_by", "changes", "said"),
    [
        ({**MADE_BY, "prompt": "3"}, {}, "prompt was '2', now '3'"),
        ({**MADE_BY, "teacher": "toy@2"}, {}, "teacher was 'toy@1', now 'toy@2'"),
        (MADE_BY, {"k": 6}, "k was '5', now '6'"),
        (MADE_BY, {"rows": ROWS[:-1]}, "texts was '10@"),
        (MADE_BY, {"rows": ROWS[::-1]}, "texts was '10@"),
    ],
)
def test_another_teachers_output_is_refused(
    made_by: dict[str, str], changes: dict[str, Any], said: str, tmp_path: Path
) -> None:
    """Once it has said something; before, another one may take its place."""
    shards(tmp_path).begin({"teacher": "toy@0", "prompt": "0"})
    shards(tmp_path).begin(MADE_BY)
    shards(tmp_path).path(2).touch()
    shards(tmp_path).begin(MADE_BY)
    with pytest.raises(UserError, match=f"holds another teacher's output .{said}"):
        shards(tmp_path, **changes).begin(made_by)


def test_damaged_shards_are_refused(teacher: PromptedModel, tmp_path: Path) -> None:
    store = shards(tmp_path)
    store.begin(MADE_BY)
    store.fill(teacher, 64, silent)
    store.path(1).write_bytes(store.path(0).read_bytes())
    with pytest.raises(UserError, match=r"shard-00001.safetensors is of other texts \(tokens differ\); delete it"):
        shards(tmp_path).lessons(3, 5)
    store.path(1).write_bytes(store.path(0).read_bytes()[:-50])
    with pytest.raises(UserError, match=r"shard-00001.safetensors is absent or damaged"):
        shards(tmp_path).lessons(3, 5)
    assert len(shards(tmp_path).lessons(8, 10)) == 2


def test_only_the_shards_in_use_are_kept_in_memory(teacher: PromptedModel, tmp_path: Path) -> None:
    store = shards(tmp_path)
    store.begin(MADE_BY)
    store.fill(teacher, 64, silent)
    for start, end, kept in ((0, 3, {0}), (3, 6, {0, 1}), (6, 9, {1, 2}), (9, 10, {2})):
        assert [lesson.row for lesson in store.lessons(start, end)] == ROWS[start:end]
        assert store._kept.keys() == kept
