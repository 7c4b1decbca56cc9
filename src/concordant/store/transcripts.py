"""Rows of talks put together: message, its two replies, the choice that counts; and the conversation they make.

The models' side of a conversation is the replies that were clicked, or what a worker made of them, so it is read here
and stored nowhere else.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from concordant.comparison import Side
from concordant.conversation import Conversation
from concordant.store.day_tables import EditRow
from concordant.store.tables import ChoiceRow, ComparisonRow, MessageRow, ReplyRow

LAST_A_BUTTON = 4
"""Buttons 1 to 4 say A, 5 to 8 say B; 4 and 5 are the weakest."""


def clicked_side(button: int) -> Side:
    """The side, as shown, that a button stands for."""
    return "a" if button <= LAST_A_BUTTON else "b"


def strength(button: int) -> int:
    """1 (buttons 4 and 5) to 4 (buttons 1 and 8)."""
    return LAST_A_BUTTON + 1 - button if button <= LAST_A_BUTTON else button - LAST_A_BUTTON


@dataclass(frozen=True, slots=True)
class Exchange:
    """One turn of a talk. ``replies`` are in the order shown: (A, B)."""

    message: MessageRow
    comparison: ComparisonRow
    replies: tuple[ReplyRow, ReplyRow]
    choice: ChoiceRow | None
    newest_edit: EditRow | None = None

    @property
    def clicked(self) -> ReplyRow | None:
        """The reply that the worker clicked, with which the talk went on."""
        if self.choice is None:
            return None
        return self.replies[0] if clicked_side(self.choice.button) == "a" else self.replies[1]

    @property
    def edit(self) -> EditRow | None:
        """The clicked reply as the worker rewrote it; a rewriting of the other reply was undone with its choice."""
        clicked = self.clicked
        return self.newest_edit if clicked is not None and _is_of(self.newest_edit, clicked) else None

    @property
    def spoken(self) -> str | None:
        """The text with which the talk went on."""
        if self.clicked is None:
            return None
        return self.clicked.text if self.edit is None else self.edit.text


def _is_of(edit: EditRow | None, reply: ReplyRow) -> bool:
    return edit is not None and edit.reply_id == reply.id


_TURNS = (
    select(MessageRow, ComparisonRow, ReplyRow)
    .join(ComparisonRow, ComparisonRow.message_id == MessageRow.id)
    .join(ReplyRow, ReplyRow.comparison_id == ComparisonRow.id)
    .where(MessageRow.talk_id.in_(bindparam("talks", expanding=True)))
    .order_by(MessageRow.talk_id, MessageRow.turn, ReplyRow.place)
)
_DECISIONS = (
    select(ChoiceRow, EditRow)
    .join(ComparisonRow, ComparisonRow.id == ChoiceRow.comparison_id)
    .join(MessageRow, MessageRow.id == ComparisonRow.message_id)
    .outerjoin(EditRow, EditRow.comparison_id == ComparisonRow.id)
    .where(MessageRow.talk_id.in_(bindparam("talks", expanding=True)))
    .order_by(ChoiceRow.number, EditRow.number)
)
"""Made once: building a statement anew costs as much as running it, and every page of a talk runs these."""


def exchanges(session: Session, talk_ids: Collection[str]) -> dict[str, list[Exchange]]:
    """The turns of each talk, in order; talks without a message have an empty list."""
    talks = {"talks": list(talk_ids)}
    rows = session.execute(_TURNS, talks).all()
    choices: dict[str, ChoiceRow] = {}
    edits: dict[str, EditRow] = {}
    for choice, edit in session.execute(_DECISIONS, talks):
        choices[choice.comparison_id] = choice  # the last numbers stay: they supersede the others
        if edit is not None:
            edits[edit.comparison_id] = edit
    result: dict[str, list[Exchange]] = {talk_id: [] for talk_id in talk_ids}
    for (message, comparison, first), (_, _, second) in zip(rows[::2], rows[1::2], strict=True):
        pair = (second, first) if comparison.swap else (first, second)
        made = choices.get(comparison.id)
        result[message.talk_id].append(Exchange(message, comparison, pair, made, edits.get(comparison.id)))
    return result


def conversation(turns: Sequence[Exchange]) -> Conversation:
    """The text of a talk: what the worker wrote, and the replies they clicked, as they rewrote them."""
    text = Conversation()
    for turn in turns:
        text = text.human(turn.message.text)
        if turn.spoken is not None:
            text = text.assistant(turn.spoken)
    return text


def prompt_of(turns: Sequence[Exchange], index: int) -> Conversation:
    """What the replies of turn ``index`` (from 0) answer."""
    return conversation(turns[:index]).human(turns[index].message.text)
