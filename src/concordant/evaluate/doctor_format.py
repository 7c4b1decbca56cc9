"""The doctor's look at tokens: special tokens kept apart, and text that comes through rendering unchanged.

Left out: what a network makes of the tokens (``doctor.py``).
"""

from collections.abc import Sequence

from concordant.conversation import Conversation
from concordant.evaluate.doctor_parts import Case, Verdict, within
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import END_OF_CONTEXT

_SPACED = "  two spaces before, a line's end after\n"


def check_special_tokens(format: ChatFormat, padding: int | None, scores: bool) -> Verdict:
    """Padding, end of text, end of turn and, for a preference model, end of context must not be taken for each other.

    End of text and end of turn are one token in most chat models, and may be.

    Args:
        format: renders for the model.
        padding: the network's padding token.
        scores: whether the model is a preference model.
    """
    name, tokenizer = "special tokens", format.tokenizer
    ends = {"end of turn": format.end_of_turn, "end of text": tokenizer.eos_token_id}
    if scores:
        end = tokenizer.convert_tokens_to_ids(END_OF_CONTEXT)
        others = {**ends, "padding": padding, "the tokenizer's padding": tokenizer.pad_token_id}
        if same := [what for what, token in others.items() if token == end]:
            says = f"end of context is also {' and '.join(same)}: the score is read at the wrong place"
            return Verdict(name, "wrong", says, float(len(same)), 0.0)
    token = padding if padding is not None else tokenizer.pad_token_id
    shared = [what for what, other in ends.items() if token is not None and other == token]
    return within(
        name,
        float(len(shared)),
        0.0,
        "padding is no token that ends a turn or a text" if token is not None else "there is no padding token",
        f"padding is also {' and '.join(shared)}: here masks come from lengths and nothing is lost, but a trainer that "
        "masks the padding token never learns to stop",
        bad="warning",
    )


def check_beginning(format: ChatFormat, cases: Sequence[Case]) -> Verdict:
    """One begin-of-text token at most, and one where the tokenizer itself would put one."""
    name, tokenizer = "begin of text", format.tokenizer
    bos = tokenizer.bos_token_id
    if bos is None:
        return Verdict(name, "not applicable", "the tokenizer has no such token")
    leading = max(_leading(format.prompt(case.prompt), bos) for case in cases)
    if leading > 1:
        return Verdict(name, "wrong", f"a rendered prompt begins with {tokenizer.bos_token} twice", float(leading), 1.0)
    usual = _leading(list(tokenizer("a")["input_ids"]), bos)
    if leading < usual:
        says = f"the tokenizer begins a text with {tokenizer.bos_token}, a rendered prompt does not"
        return Verdict(name, "warning", says, float(leading), 1.0)
    return Verdict(name, "ok", "a rendered prompt begins with it at most once", float(leading), 1.0)


def _leading(tokens: Sequence[int], bos: int) -> int:
    """How many times a row begins with the token."""
    return next((place for place, token in enumerate(tokens) if token != bos), len(tokens))


def check_round_trip(format: ChatFormat, cases: Sequence[Case]) -> Verdict:
    """Every message and every reply comes back out of its tokens as it was written."""
    lost = sum(
        not _in_order(_written(format, case.prompt), [turn.text for turn in case.prompt.turns]) for case in cases
    )
    lost += sum(format.text(format.reply(reply)) != reply for case in cases for reply in case.replies)
    name = "round trip"
    if lost:
        says = f"{lost} texts do not come back from their tokens: template or tokenizer changes what people wrote"
        return Verdict(name, "wrong", says, float(lost), 0.0)
    spaced = Conversation().human(_SPACED)
    return within(
        name,
        0.0 if _in_order(_written(format, spaced), [_SPACED]) else 1.0,
        0.0,
        "every text comes back from its tokens as it was written",
        "the template cuts the white space around a message; the rest comes back as it was written",
        bad="warning",
    )


def check_prompt_prefix(format: ChatFormat, cases: Sequence[Case]) -> Verdict:
    """A prompt's tokens are the first tokens of the same conversation with its reply."""
    differ = 0
    for case in cases:
        prompt = format.prompt(case.prompt)
        for reply in case.replies:
            differ += _rendered(format, case.prompt.assistant(reply))[: len(prompt)] != prompt
    return within(
        "prompt prefix",
        float(differ),
        0.0,
        "a prompt's tokens begin the conversation with its reply",
        f"{differ} conversations with a reply do not begin with their prompt's tokens: what is scored is not what was "
        "asked",
    )


def _rendered(format: ChatFormat, talk: Conversation) -> list[int]:
    """Tokens of a conversation that ends on a reply, rendered in one piece."""
    tokenizer = format.tokenizer
    text = talk.to_hh()
    if format.has_template:
        messages = [
            {"role": "user" if turn.speaker == "human" else "assistant", "content": turn.text} for turn in talk.turns
        ]
        text = tokenizer.apply_chat_template(messages, tokenize=False)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _written(format: ChatFormat, talk: Conversation) -> str:
    """The text that a prompt's tokens stand for, special tokens written out."""
    tokens = format.prompt(talk)
    return str(format.tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _in_order(text: str, parts: Sequence[str]) -> bool:
    """Whether the parts stand in the text one after the other."""
    place = 0
    for part in parts:
        place = text.find(part, place)
        if place < 0:
            return False
        place += len(part)
    return True
