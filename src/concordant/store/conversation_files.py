"""Files of conversations whose replies are to be scored: one JSON object a line, in any of four forms.

``{"chosen", "rejected"}`` transcripts as in the released HH data; ``{"prompt", "replies": […]}``; a whole conversation
as ``{"messages": [{"role", "content"}, …]}`` or ``{"transcript": "Human: … Assistant: …"}``, whose last reply is
scored; and the rows of a frozen data set. Rows are told apart one by one and streamed, so a file may have any length. A
row that cannot be used is handed on with the reason, so that whoever reads can count it.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError
from concordant.store.datasets import dataset_rows, preference_of_row
from concordant.store.hh_files import read_lines

Item = tuple[Conversation, tuple[str, ...]]
_SPEAKERS = {
    "user": Speaker.HUMAN,
    "human": Speaker.HUMAN,
    "assistant": Speaker.ASSISTANT,
}
_TALK_KEYS = ("messages", "transcript", "conversation")
_WANTED = (
    'give a .jsonl or .jsonl.gz file of {"chosen", "rejected"}, {"prompt", "replies"}, {"messages"} or {"transcript"} '
    "rows, or a frozen data set"
)


class _Unusable(Exception):
    """Why a row cannot be scored."""


@dataclass(frozen=True, slots=True)
class RepliesRow:
    """What one row asks to be scored.

    Attributes:
        line: number in the file, from 1.
        id: the row's own id, where it has one.
        items: prompts and their replies; one item, or two where a pair's prompts differ, and none where the row
            cannot be used. Replies of a comparison are chosen, then rejected.
        flaw: why it cannot be used, else "".
    """

    line: int
    id: str | int | None
    items: tuple[Item, ...]
    flaw: str = ""


def read_replies(path: Path, prompts_alone: bool = False) -> Iterator[RepliesRow]:
    """The rows of a ``.jsonl`` or ``.jsonl.gz`` file; blank lines are none.

    Args:
        path: the file.
        prompts_alone: whether a row may be a ``{"prompt"}`` without replies.

    Raises:
        UserError: the file is absent or cut short.
    """
    for number, line in read_lines(path, _WANTED):
        text = line.strip()
        if number == 1:
            text = text.removeprefix(b"\xef\xbb\xbf").strip()
        if text:
            yield _row(number, text, prompts_alone)


def read_dataset_replies(path: Path) -> Iterator[RepliesRow]:
    """The comparisons of a frozen data set.

    Raises:
        UserError: see ``dataset_rows``.
    """
    for number, row in enumerate(dataset_rows(path), start=2):
        preference = preference_of_row(row)
        yield RepliesRow(number, row["id"], ((preference.prompt, (preference.chosen, preference.rejected)),))


@dataclass(frozen=True, slots=True)
class PromptRow:
    """The prompt of one row.

    Attributes:
        line: number in the file, from 1.
        id: the row's own id, where it has one.
        prompt: what the human asked, None where the row cannot be used.
        flaw: why it cannot be used, else "".
    """

    line: int
    id: str | int | None
    prompt: Conversation | None
    flaw: str = ""


def read_prompts(path: Path) -> Iterator[PromptRow]:
    """The prompt of every row of a ``.jsonl`` or ``.jsonl.gz`` file, in any of the forms, with replies or without.

    Of a pair whose prompts differ, it is that of the chosen reply.

    Raises:
        UserError: the file is absent or cut short.
    """
    for row in read_replies(path, prompts_alone=True):
        prompt = row.items[0][0] if row.items else None
        yield PromptRow(row.line, row.id, prompt, row.flaw)


def count_rows(path: Path) -> int:
    """How many rows ``read_replies`` would give. Reads to the end, so a file that is cut short is refused here.

    Raises:
        UserError: the file is absent, cut short or empty.
    """
    number = sum(1 for _, line in read_lines(path, _WANTED) if line.strip())
    if not number:
        raise UserError(f"{path} has no lines; {_WANTED}")
    return number


def _row(number: int, text: bytes, prompts_alone: bool) -> RepliesRow:
    name: str | int | None = None
    try:
        try:
            row: Any = json.loads(text)
        except (ValueError, RecursionError):
            raise _Unusable("not JSON") from None
        if not isinstance(row, dict):
            raise _Unusable("not a JSON object")
        name = row["id"] if isinstance(row.get("id"), str | int) else None
        items = tuple(_prompt_item(row) if prompts_alone else _items(row))
        for prompt, replies in items:
            if not prompt.awaits_reply:
                raise _Unusable("the prompt does not end on a human turn")
            _check_unicode(prompt, replies)
    except _Unusable as reason:
        return RepliesRow(number, name, (), str(reason))
    return RepliesRow(number, name, items)


def _items(row: dict[str, Any]) -> Iterator[Item]:
    """The prompts and replies of a row, by the keys it has."""
    if "replies" in row:
        replies = row["replies"]
        if not isinstance(replies, list) or not all(isinstance(reply, str) for reply in replies):
            raise _Unusable("'replies' is not a list of texts")
        if not replies:
            raise _Unusable("'replies' is empty")
        if "prompt" not in row:
            raise _Unusable("'replies' without a 'prompt'")
        prompt = row["prompt"]
        yield Conversation.from_text(prompt) if isinstance(prompt, str) else _messages("prompt", prompt), tuple(replies)
    elif "chosen" in row and "rejected" in row:
        (prompt, chosen), (other, rejected) = (_split(key, row[key]) for key in ("chosen", "rejected"))
        if prompt == other:
            yield prompt, (chosen, rejected)
        else:
            yield prompt, (chosen,)
            yield other, (rejected,)
    else:
        key = next((key for key in _TALK_KEYS if key in row), None)
        if key is None:
            raise _Unusable("none of the known forms")
        prompt, reply = _split(key, row[key])
        yield prompt, (reply,)


def _prompt_item(row: dict[str, Any]) -> Iterator[Item]:
    """The prompt of a row without its replies; a row need not have any."""
    key = next((key for key in ("prompt", *_TALK_KEYS) if key in row), None)
    if key is None:
        yield from _items(row)
        return
    talk = Conversation.from_text(row[key]) if isinstance(row[key], str) else _messages(key, row[key])
    if key != "prompt" and not talk.awaits_reply:
        talk = Conversation(talk.turns[:-1])
    yield talk, ()


def _split(key: str, value: Any) -> tuple[Conversation, str]:
    """(prompt, last reply) of a whole conversation."""
    if isinstance(value, str):
        try:
            conversation = Conversation.from_hh(value)
        except UserError:
            raise _Unusable(f"'{key}' is not a transcript") from None
    else:
        conversation = _messages(key, value)
    try:
        return conversation.split_last_reply()
    except UserError:
        raise _Unusable(f"'{key}' does not end on a reply") from None


def _messages(key: str, value: Any) -> Conversation:
    if not isinstance(value, list):
        raise _Unusable(f"'{key}' is neither text nor a list of messages")
    turns: list[Turn] = []
    for message in value:
        role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
        if not isinstance(role, str) or role not in _SPEAKERS:
            raise _Unusable(f"'{key}' has a role other than user (or human) and assistant")
        if not isinstance(content, str):
            raise _Unusable(f"'{key}' has a message whose content is not text")
        turns.append(Turn(_SPEAKERS[role], content))
    return Conversation(tuple(turns))


def _check_unicode(prompt: Conversation, replies: tuple[str, ...]) -> None:
    try:
        for text in (*(turn.text for turn in prompt.turns), *replies):
            text.encode()
    except UnicodeEncodeError:
        raise _Unusable("not Unicode text") from None
