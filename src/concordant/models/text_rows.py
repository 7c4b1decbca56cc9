"""Texts to be distilled on, as rows of tokens with the places that count (paper App. A.1).

A text is a conversation. Plain text is one in which only the human has spoken, as the paper has it (a new conversation
is signalled by "Human:" and the text follows); a dialogue is a question and its answer. What counts: every token behind
the header of the first human message, question and answer alike, with the marks between them. What does not: the
prompt, which the student never sees, and the header, which is the same for every text.
Left out: which files they come from (``store/``), and what they are trained with (``train/``).
"""

import hashlib
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.models.chat_format import ChatFormat, common_beginning

_SHORTEST = 16
"""Fewer tokens of a document that counts are left out."""


@dataclass(frozen=True, slots=True)
class TextRow:
    """One text.

    Attributes:
        tokens: header and text.
        first: place of the first token that counts; all from there on do. At least 1: each needs a predictor.
        document: key of the document that it is a piece of.
        is_dialogue: whether it is a dialogue, and not plain text.
    """

    tokens: list[int]
    first: int
    document: str
    is_dialogue: bool

    @property
    def counted(self) -> int:
        """How many tokens count."""
        return len(self.tokens) - self.first


def text_rows(
    conversations: Iterable[Conversation], format: ChatFormat, most: int
) -> tuple[list[TextRow], Counter[str]]:
    """(rows in order, what was left out by reason).

    Plain text is cut into pieces that fill ``most`` tokens each. A dialogue is cut at its end, which costs a part of
    the answer and never the question.

    Args:
        conversations: one human turn, or also one assistant turn behind it.
        format: the student's.
        most: tokens of a row, header included.
    """
    rows: list[TextRow] = []
    dropped: Counter[str] = Counter()
    for talk in conversations:
        if talk.awaits_reply:
            rows += _pieces(talk, format, most, dropped)
            continue
        prompt, answer = talk.split_last_reply()
        question = format.prompt(prompt)
        first = max(1, common_beginning(question, format.human_header))
        if len(question) + _SHORTEST > most:
            dropped["dialogue whose question leaves no room for an answer"] += 1
        else:
            rows.append(TextRow([*question, *format.reply(answer)][:most], first, talk.split_key, True))
    return rows, dropped


def _pieces(talk: Conversation, format: ChatFormat, most: int, dropped: Counter[str]) -> list[TextRow]:
    header, tokens = format.human_header, format.human_text(talk.first_human_turn)
    room = most - len(header)
    if room < _SHORTEST:
        raise UserError(f"text_tokens is {most}, of which the header of a message takes {len(header)}; raise it")
    pieces = [tokens[start : start + room] for start in range(0, len(tokens), room)]
    if pieces and len(pieces[-1]) < _SHORTEST:
        dropped[f"piece of a text with fewer than {_SHORTEST} tokens"] += 1
        pieces.pop()
    return [TextRow([*header, *piece], max(1, len(header)), talk.split_key, False) for piece in pieces]


def draw_mixture(rows: Sequence[TextRow], dialogue_share: float, limit: int | None, seed: int) -> list[TextRow]:
    """As many rows as the share of dialogues allows, in random order: n = dialogues + texts, dialogues = share · n.

    Args:
        rows: all there are; none is taken twice.
        dialogue_share: in [0, 1]; ½ is the paper's.
        limit: most rows.
        seed: the same seed draws the same rows in the same order.

    Raises:
        UserError: one kind is wanted and there is none.
    """
    kinds = {True: [row for row in rows if row.is_dialogue], False: [row for row in rows if not row.is_dialogue]}
    shares = {True: dialogue_share, False: 1 - dialogue_share}
    for kind, (name, option, without) in {
        True: ("no dialogue", "--dialogues", "dialogue_share=0"),
        False: ("no plain text", "--text", "dialogue_share=1"),
    }.items():
        if shares[kind] and not kinds[kind]:
            raise UserError(
                f"dialogue_share is {dialogue_share}, and there is {name} that can be used; give {option}, or set "
                f"{without}"
            )
    total = min(int(len(kinds[kind]) / shares[kind] + 1e-9) for kind in kinds if shares[kind])
    total = total if limit is None else min(total, limit)
    dialogues = round(dialogue_share * total)
    draw = random.Random(f"texts:{seed}")
    chosen = [
        *draw.sample(kinds[True], dialogues),
        *draw.sample(kinds[False], min(len(kinds[False]), total - dialogues)),
    ]
    draw.shuffle(chosen)
    return chosen


def digest_of(rows: Iterable[TextRow]) -> str:
    """The first 12 hex digits of a SHA-256 of the rows' tokens and of which of them count."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{row.first}:{','.join(map(str, row.tokens))}\n".encode())
    return digest.hexdigest()[:12]
