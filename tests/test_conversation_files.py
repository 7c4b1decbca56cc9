import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from concordant.comparison import Objective, Tranche
from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.store.conversation_files import count_rows, read_dataset_replies, read_replies
from concordant.store.database import Database
from concordant.store.datasets import freeze
from concordant.store.imports import import_files
from concordant.store.preferences import Filter
from hh_rows import write_hh
from toy_lessons import preference

ASKED = Conversation().human("a").assistant("b").human("c")
TALK = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: "
MESSAGES = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
    {"role": "human", "content": "c"},
]


def written(path: Path, *rows: Any) -> Path:
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


@pytest.mark.parametrize(
    ("row", "replies"),
    [
        ({"chosen": TALK + "d", "rejected": TALK + "e"}, ("d", "e")),
        ({"chosen": TALK + "same", "rejected": TALK + "same"}, ("same", "same")),
        ({"prompt": TALK.removesuffix("\n\nAssistant: "), "replies": ["d", "", "f"]}, ("d", "", "f")),
        ({"prompt": "a\n\nAssistant: b\n\nHuman: c", "replies": ["d"]}, ("d",)),
        ({"prompt": MESSAGES, "replies": ["d", "e"]}, ("d", "e")),
        ({"messages": [*MESSAGES, {"role": "assistant", "content": "d"}]}, ("d",)),
        ({"transcript": TALK + "d"}, ("d",)),
        ({"conversation": TALK.lstrip() + "d", "more": 1}, ("d",)),
        (
            {
                "chosen": [*MESSAGES, {"role": "assistant", "content": "d"}],
                "rejected": [*MESSAGES, {"role": "assistant", "content": "e"}],
            },
            ("d", "e"),
        ),
    ],
)
def test_every_form_is_known_by_its_content(row: Any, replies: tuple[str, ...], tmp_path: Path) -> None:
    (found,) = read_replies(written(tmp_path / "f", row))
    assert (found.items, found.flaw) == (((ASKED, replies),), "")


def test_a_plain_prompt_is_one_human_turn(tmp_path: Path) -> None:
    (found,) = read_replies(written(tmp_path / "f", {"prompt": "How?", "replies": ["So."]}))
    assert found.items == ((Conversation().human("How?"), ("So.",)),)


def test_a_pair_of_two_prompts_is_scored_apart(tmp_path: Path) -> None:
    rows = {"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: c\n\nAssistant: d"}
    (found,) = read_replies(written(tmp_path / "f", rows))
    assert found.items == ((Conversation().human("a"), ("b",)), (Conversation().human("c"), ("d",)))


@pytest.mark.parametrize(
    ("row", "flaw"),
    [
        ("poem", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[1]", "not a JSON object"),
        ({"text": "a"}, "none of the known forms"),
        ({"chosen": TALK + "d"}, "none of the known forms"),
        ({"chosen": 3, "rejected": TALK + "d"}, "'chosen' is neither text nor a list of messages"),
        ({"transcript": "Roses"}, "'transcript' is not a transcript"),
        ({"transcript": "\n\nHuman: a"}, "'transcript' does not end on a reply"),
        ({"transcript": TALK + "d\n\nAssistant: e"}, "the prompt does not end on a human turn"),
        ({"messages": MESSAGES}, "'messages' does not end on a reply"),
        ({"messages": [{"role": "system", "content": "x"}]}, "'messages' has a role other than user (or human) and as"),
        ({"messages": ["hi"]}, "'messages' has a role other than"),
        ({"messages": [{"role": "user", "content": [1]}]}, "'messages' has a message whose content is not text"),
        ({"replies": ["d"]}, "'replies' without a 'prompt'"),
        ({"prompt": "a", "replies": []}, "'replies' is empty"),
        ({"prompt": "a", "replies": "d"}, "'replies' is not a list of texts"),
        ({"prompt": "a", "replies": ["d", 1]}, "'replies' is not a list of texts"),
        ({"prompt": 1, "replies": ["d"]}, "'prompt' is neither text nor a list of messages"),
        ({"prompt": [], "replies": ["d"]}, "the prompt does not end on a human turn"),
        ({"prompt": "a\ud800", "replies": ["d"]}, "not Unicode text"),
    ],
)
def test_what_cannot_be_scored_says_why(row: Any, flaw: str, tmp_path: Path) -> None:
    (found,) = read_replies(written(tmp_path / "f", row))
    assert found.items == ()
    assert found.flaw.startswith(flaw)


def test_lines_are_numbered_blank_ones_too_and_ids_are_kept(tmp_path: Path) -> None:
    rows = [{"id": "x", "transcript": TALK + "d"}, "", "{", {"id": 7, "text": 1}, {"id": [1], "transcript": TALK + "e"}]
    path = written(tmp_path / "f", *rows)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [(row.line, row.id, row.flaw) for row in read_replies(path)] == [
        (1, "x", ""),
        (3, None, "not JSON"),
        (4, 7, "none of the known forms"),
        (5, None, ""),
    ]
    assert count_rows(path) == 4


def test_packed_files_are_known_by_their_content_and_damage_is_found_when_counting(tmp_path: Path) -> None:
    path = written(tmp_path / "f", *[{"transcript": TALK + str(number)} for number in range(500)])
    packed = gzip.compress(path.read_bytes())
    path.write_bytes(packed)
    assert count_rows(path) == len(list(read_replies(path))) == 500
    path.write_bytes(packed[:-30])
    with pytest.raises(UserError, match="is cut short or damaged"):
        count_rows(path)
    with pytest.raises(UserError, match=r"has no lines; give a \.jsonl"):
        count_rows(written(tmp_path / "empty"))
    with pytest.raises(UserError, match=r"absent does not exist; give a .*frozen data set"):
        count_rows(tmp_path / "absent")


def test_a_frozen_data_set_gives_the_chosen_reply_first(tmp_path: Path) -> None:
    write_hh(tmp_path / "one.jsonl", [preference("a", "good", "bad"), preference("b", "fine", "bad")])
    database = Database.open(f"sqlite:///{tmp_path}/store.sqlite")
    import_files(database, [tmp_path / "one.jsonl"], Objective.HELPFUL, Tranche.BASE)
    path = freeze(database, "set", Filter(), tmp_path).path
    database.close()
    rows = list(read_dataset_replies(path))
    assert {row.items for row in rows} == {
        ((Conversation().human("a"), ("good", "bad")),),
        ((Conversation().human("b"), ("fine", "bad")),),
    }
    assert [row.line for row in rows] == [2, 3]
    assert all(isinstance(row.id, str) for row in rows)


@pytest.mark.realdata
def test_hardly_a_row_of_the_released_files_cannot_be_scored(real_data: Path) -> None:
    files = sorted((real_data / "hh").glob("*-base.jsonl.gz"))
    flaws = [row.flaw for path in files for row in read_replies(path) if row.flaw]
    assert len(files) == 2
    assert set(flaws) == {"the prompt does not end on a human turn"}
    assert len(flaws) < 20
