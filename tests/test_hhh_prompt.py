"""The prompt: ours is in its own form, users' files are read, and what is none is refused in one line."""

from pathlib import Path

import pytest

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.hhh_prompt import OURS, HhhPrompt

SMALL = (
    "Be kind.\n\n-----\n\nHuman: hi\n\nAssistant: hello\n\nHuman: bye\n\nAssistant: so long\n\n"
    "-----\n\nHuman: a\n\nAssistant: b\n"
)


def test_ours() -> None:
    """A dozen finished dialogues; it comes back as it is written; and it is short enough for a context of 2,048."""
    prompt = HhhPrompt.read()
    assert len(prompt.dialogues) == 12 and prompt.opening.startswith("The conversations below")
    assert prompt.to_text() == OURS.read_text()
    assert len(OURS.read_text().split()) < 1500


def test_a_users_own() -> None:
    prompt = HhhPrompt.from_text(SMALL, "mine.txt")
    assert prompt.opening == "Be kind."
    first = Conversation().human("hi").assistant("hello").human("bye").assistant("so long")
    assert prompt.dialogues == (first, Conversation().human("a").assistant("b"))
    assert prompt.to_text() == SMALL
    assert prompt.digest != HhhPrompt.from_text(SMALL.replace("kind", "wise"), "mine.txt").digest


def test_the_opening_may_be_left_out() -> None:
    prompt = HhhPrompt.from_text("Human: a\n\nAssistant: b -- c\n\n---\n\nstill b", "mine.txt")
    assert (prompt.opening, len(prompt.dialogues)) == ("", 1)
    assert prompt.dialogues[0].turns[1].text == "b -- c\n\n---\n\nstill b"
    assert HhhPrompt.from_text(prompt.to_text(), "again.txt") == prompt


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "mine.txt holds no dialogue"),
        ("Only an opening.", "mine.txt holds no dialogue"),
        ("Opening\n-----\nHuman: a", "dialogue 1 lacks a reply"),
        ("Human: a\n\nAssistant: b\n-----\nHuman:\n\nAssistant: b", "dialogue 2 lacks a reply or has an empty turn"),
        ("Opening\n-----\nAnd more of it", "dialogue 1 begins with 'And more of it'"),
        ("Opening\n-----\nAssistant: b", "dialogue 1 begins with 'Assistant: b'"),
    ],
)
def test_what_is_no_prompt(text: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        HhhPrompt.from_text(text, "mine.txt")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes(b"Human: caf\xe9")
    for name, said in (("absent.txt", "No such file"), ("latin.txt", "no UTF-8")):
        with pytest.raises(UserError, match=f"{name} cannot be read: .*{said}"):
            HhhPrompt.read(tmp_path / name)
