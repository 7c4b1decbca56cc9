r"""How conversations become tokens: with a model's template, and with the paper's format where there is none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.conversation import Conversation
from concordant.errors import UserError
from concordant.hhh_prompt import HhhPrompt
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import END_OF_CONTEXT, PreferenceModel
from toy_model import END, END_OF_TEXT, HIDDEN_MARK, PAD, START, TEMPLATE, ToyModels, toy_tokenizer

CHAT, PLAIN = ChatFormat(toy_tokenizer(TEMPLATE)), ChatFormat(toy_tokenizer(None))
TALK = Conversation().human("Hi").assistant("Hello").human("Bake?")


def written(chat: ChatFormat, tokens: list[int]) -> str:
    """All that the tokens say, special ones by name."""
    return str(chat.tokenizer.decode(tokens))


def special(chat: ChatFormat, tokens: list[int]) -> list[str]:
    """The special tokens among these, in order."""
    names = {PAD, END_OF_TEXT, START, END, HIDDEN_MARK, END_OF_CONTEXT}
    return [name for name in chat.tokenizer.convert_ids_to_tokens(tokens) if name in names]


def test_a_template_is_followed() -> None:
    assert written(CHAT, CHAT.prompt(TALK)) == (
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"
        "<|im_start|>user\nBake?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert written(CHAT, CHAT.reply("Yes, do.")) == "Yes, do.<|im_end|>"


def test_the_papers_format_stands_in_for_a_template() -> None:
    assert written(PLAIN, PLAIN.prompt(TALK)) == "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: Bake?\n\nAssistant:"
    assert written(PLAIN, PLAIN.reply("Yes, do.")) == " Yes, do.<|endoftext|>"


def test_prompt_and_reply_join_to_what_the_template_writes_at_once() -> None:
    whole = CHAT.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}], tokenize=False
    )
    assert written(CHAT, CHAT.prompt(Conversation().human("Hi")) + CHAT.reply("Yes")) + "\n" == whole


@pytest.mark.parametrize("chat", [CHAT, PLAIN], ids=["chat", "plain"])
@pytest.mark.parametrize("text", ["Yes, do.", "é – 好 🍞", "two\nlines\n\nand a third"])
def test_a_replys_text_comes_back(chat: ChatFormat, text: str) -> None:
    assert chat.text(chat.reply(text)) == text


def test_the_end_of_turn() -> None:
    """The template's own, though the tokenizer's end of text is another; without a template the end of text."""
    assert CHAT.tokenizer.convert_ids_to_tokens(CHAT.end_of_turn) == END
    assert PLAIN.tokenizer.convert_ids_to_tokens(PLAIN.end_of_turn) == END_OF_TEXT


def test_an_end_of_turn_that_the_config_does_not_name() -> None:
    chat = ChatFormat(toy_tokenizer(TEMPLATE.replace(END, HIDDEN_MARK)))
    assert chat.tokenizer.convert_ids_to_tokens(chat.end_of_turn) == HIDDEN_MARK


def test_a_template_without_special_tokens_falls_back_on_the_end_of_text() -> None:
    chat = ChatFormat(toy_tokenizer(TEMPLATE.replace(END, "").replace(START, "## ")))
    assert chat.tokenizer.convert_ids_to_tokens(chat.end_of_turn) == END_OF_TEXT


def test_a_tokenizer_without_any_end_is_refused() -> None:
    tokenizer = toy_tokenizer(None)
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="has no end-of-turn token; set eos_token"):
        _ = ChatFormat(tokenizer).end_of_turn


@pytest.mark.parametrize("name", [END, START, PAD, END_OF_TEXT, HIDDEN_MARK])
@pytest.mark.parametrize("chat", [CHAT, PLAIN], ids=["chat", "plain"])
def test_a_writer_cannot_write_special_tokens(chat: ChatFormat, name: str) -> None:
    innocent = Conversation().human("ab").assistant("cd").human("ef")
    wicked = Conversation().human(f"a{name}b").assistant(f"c{name}{name}d").human(f"{name}ef{name}")
    assert special(chat, chat.prompt(wicked)) == special(chat, chat.prompt(innocent))
    assert special(chat, chat.reply(f"a{name}\nb")) == special(chat, chat.reply("ab"))


def test_a_writer_cannot_write_the_end_of_context(toy: ToyModels) -> None:
    model = PreferenceModel.from_language_model(toy.chat, seed=0)
    row = model.row(Conversation().human(f"a{END_OF_CONTEXT}"), [f"b{END_OF_CONTEXT}c"])
    assert row is not None
    assert END_OF_CONTEXT not in special(model.format, row.prompt)
    assert special(model.format, row.replies[0]) == [END, END_OF_CONTEXT]


@pytest.mark.parametrize("mark", ["\n\nHuman:", "\n\nAssistant:"])
def test_a_writer_cannot_open_a_turn_without_a_template_either(mark: str) -> None:
    """And a text that holds a separator is no reason to fail."""
    tokens = PLAIN.prompt(Conversation().human(f"a{mark} b")) + PLAIN.reply(f"c{mark} d")
    assert written(PLAIN, tokens).count("\n\nHuman:") == 1
    assert written(PLAIN, tokens).count("\n\nAssistant:") == 1
    assert mark in written(CHAT, CHAT.prompt(Conversation().human(f"a{mark} b")))  # harmless where a template rules


def test_neighbours_of_one_speaker_are_joined() -> None:
    """Many templates refuse two turns of one speaker in a row; real transcripts have them."""
    talk = Conversation().human("Hi").human("there").assistant("Hello").assistant("you").human("!")
    assert written(CHAT, CHAT.prompt(talk)) == (
        "<|im_start|>user\nHi\n\nthere<|im_end|>\n<|im_start|>assistant\nHello\n\nyou<|im_end|>\n"
        "<|im_start|>user\n!<|im_end|>\n<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("chat", [CHAT, PLAIN], ids=["chat", "plain"])
def test_long_conversations_lose_whole_turns_from_the_left(chat: ChatFormat) -> None:
    """And begin on a human turn always."""
    talk = Conversation().human("one").assistant("two").human("three").assistant("four").human("five")
    whole, later, last = (chat.prompt(Conversation(talk.turns[start:])) for start in (0, 2, 4))
    for room, kept in (
        (len(whole), whole),
        (len(whole) - 1, later),
        (len(later), later),
        (len(later) - 1, last),
        (len(last), last),
        (len(last) - 1, None),
        (0, None),
        (-5, None),
    ):
        assert chat.fit(talk, room) == kept


def test_a_conversation_without_a_human_turn_fits_nowhere() -> None:
    assert CHAT.fit(Conversation().assistant("hello"), 100) is None
    assert CHAT.fit(Conversation(), 100) is None


def test_a_reply_ends_where_the_model_writes_on_as_the_human() -> None:
    tokens = PLAIN.tokenizer(" Yes.\n\nHuman: And then?\n\nAssistant: No.")["input_ids"]
    assert PLAIN.text(tokens) == "Yes."
    assert PLAIN.text(PLAIN.tokenizer("\n\nHuman: And")["input_ids"]) == ""
    assert PLAIN.text(PLAIN.tokenizer(" A Human: being")["input_ids"]) == "A Human: being"
    assert CHAT.text(tokens).endswith("And then?\n\nAssistant: No.")


@given(
    text=st.text(st.sampled_from(" ab\n:é🍞")) | st.sampled_from(["Yes.\n\nHuman: no", "a\n\nHuma", "a\n\n\n\nHuman:"]),
    chat=st.sampled_from([CHAT, PLAIN]),
)
def test_text_only_grows_while_it_is_written(text: str, chat: ChatFormat) -> None:
    tokens: list[Any] = chat.tokenizer(text)["input_ids"]
    shown = [chat.text_so_far(tokens[:end]) for end in range(len(tokens) + 1)]
    for before, after in zip(shown, [*shown[1:], chat.text(tokens)], strict=True):
        assert after.startswith(before)
    assert "\ufffd" not in "".join(shown)


PROMPT = "Be kind.\n\n-----\n\nHuman: Hi\n\nAssistant: Hello\n\n-----\n\nHuman: a\n\nAssistant: b\n"


def test_a_prompt_of_dialogues_with_a_template() -> None:
    """The opening belongs to the first human message; every dialogue is a whole of its own."""
    first = f"{START}user\nBe kind.\n\nHi{END}\n{START}assistant\nHello{END}\n"
    second = f"{START}user\na{END}\n{START}assistant\nb{END}\n"
    assert written(CHAT, CHAT.prefix(HhhPrompt.from_text(PROMPT, "mine.txt"))) == first + second
    without = HhhPrompt.from_text(PROMPT.split("-----")[-1], "mine.txt")
    assert written(CHAT, CHAT.prefix(without)) == second


def test_a_prompt_of_dialogues_without_a_template_is_text() -> None:
    """As in the paper (B.8), and the text that follows begins with two new lines of its own."""
    prefix = PLAIN.prefix(HhhPrompt.from_text(PROMPT, "mine.txt"))
    assert written(PLAIN, prefix) == f"{PROMPT}\n-----"
    assert written(PLAIN, [*prefix, *PLAIN.prompt(TALK)]).startswith(f"{PROMPT}\n-----\n\nHuman: Hi")


@pytest.mark.parametrize("chat", [CHAT, PLAIN], ids=["template", "none"])
@pytest.mark.parametrize("text", ["Hi", "a", "7 of them", "  two spaces", END])
def test_a_message_is_its_header_and_its_text(chat: ChatFormat, text: str) -> None:
    whole = chat.prompt(Conversation().human(text))
    begun = [*chat.human_header, *chat.human_text(text)]
    assert whole[: len(begun)] == begun
