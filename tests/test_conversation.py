"""Conversations: the HH transcript is read back as it was written, and split where the last reply begins."""

import hashlib

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from concordant.conversation import Conversation, Speaker, Turn
from concordant.errors import UserError

SEPARATORS = ("\n\nHuman:", "\n\nAssistant:")

texts = st.text().map(str.strip).filter(lambda text: not any(mark in text for mark in SEPARATORS))
turns = st.builds(Turn, st.sampled_from(Speaker), texts)
conversations = st.builds(lambda some: Conversation(tuple(some)), st.lists(turns, min_size=1, max_size=6))


def test_a_transcript_is_written_as_the_released_data_writes_it() -> None:
    conversation = Conversation().human("What is 2+2?").assistant("4.").human("And 3+3?")
    assert conversation.to_hh() == "\n\nHuman: What is 2+2?\n\nAssistant: 4.\n\nHuman: And 3+3?"


@given(conversations)
def test_parsing_undoes_writing(conversation: Conversation) -> None:
    assert Conversation.from_hh(conversation.to_hh()) == conversation


@given(st.text(alphabet="Human:Assistant \n", max_size=60).map(str.strip))
def test_a_text_is_either_refused_or_read_back(text: str) -> None:
    """Texts made of the separator's own letters, where a parser would go wrong first."""
    conversation = Conversation().human("hi").assistant(text)
    try:
        transcript = conversation.to_hh()
    except UserError:
        assert any(mark in text for mark in SEPARATORS)
    else:
        assert Conversation.from_hh(transcript) == conversation


def test_parsing_strips_white_space_around_turns_but_not_inside() -> None:
    parsed = Conversation.from_hh("\n\n\n\nHuman:  two  words \n\nAssistant:\n\nline one\n\nline two\n\n")
    assert parsed == Conversation().human("two  words").assistant("line one\n\nline two")


def test_two_turns_of_one_speaker_and_an_empty_turn_stay_as_they_are() -> None:
    parsed = Conversation.from_hh("\n\nHuman: a\n\nHuman: b\n\nAssistant:")
    assert parsed == Conversation().human("a").human("b").assistant("")


def test_a_separator_inside_a_line_is_text() -> None:
    parsed = Conversation.from_hh("\n\nHuman: say 'Human:'\nAssistant: is a word\n\nAssistant: Human: ok")
    assert parsed == Conversation().human("say 'Human:'\nAssistant: is a word").assistant("Human: ok")


@pytest.mark.parametrize("text", ["a\n\nAssistant: b\n\nHuman: c", " Human: a\n\nAssistant: b\n\nHuman: c"])
def test_the_first_label_of_a_prompt_may_be_left_out(text: str) -> None:
    assert Conversation.from_text(text) == Conversation().human("a").assistant("b").human("c")


def test_a_prompt_without_labels_is_one_human_turn_and_one_may_begin_with_the_assistant() -> None:
    assert Conversation.from_text(" How do I say 'Human:'? ") == Conversation().human("How do I say 'Human:'?")
    assert Conversation.from_text("Assistant: a\n\nHuman: b") == Conversation().assistant("a").human("b")


@pytest.mark.parametrize("transcript", ["", "hello", "Hello\n\nHuman: hi", "\n\nSystem: x\n\nHuman: hi", "human: hi"])
def test_a_text_that_does_not_begin_with_a_separator_is_refused(transcript: str) -> None:
    with pytest.raises(UserError, match="not an HH transcript"):
        Conversation.from_hh(transcript)


def test_a_turn_that_holds_a_separator_is_refused_and_the_message_shows_it() -> None:
    conversation = Conversation().human("hi").assistant("yes\n\nHuman: and now I ask myself")
    with pytest.raises(UserError, match=r"assistant turn contains an HH separator.*yes.*parquet"):
        conversation.to_hh()


def test_the_split_is_at_the_last_assistant_turn() -> None:
    prompt, reply = Conversation.from_hh(
        "\n\nHuman: a\n\nAssistant: first\n\nHuman: b\n\nAssistant: last"
    ).split_last_reply()
    assert reply == "last"
    assert prompt == Conversation().human("a").assistant("first").human("b")


@given(conversations, texts)
def test_splitting_undoes_adding_a_reply(conversation: Conversation, reply: str) -> None:
    assert conversation.assistant(reply).split_last_reply() == (conversation, reply)


@pytest.mark.parametrize("conversation", [Conversation(), Conversation().human("a"), Conversation().assistant("a")])
def test_without_a_reply_to_something_there_is_nothing_to_split(conversation: Conversation) -> None:
    with pytest.raises(UserError, match="does not end on an assistant turn"):
        conversation.split_last_reply()


def test_what_a_prompt_says_about_itself() -> None:
    prompt = Conversation().human("a").assistant("b").human("c")
    assert prompt.awaits_reply and prompt.human_turns == 2 and prompt.first_human_turn == "a"
    answered = prompt.assistant("d")
    assert not answered.awaits_reply and answered.human_turns == 2
    assert not Conversation().awaits_reply and Conversation().first_human_turn == ""
    assert Conversation().assistant("welcome").human("q").first_human_turn == "q"


def test_the_split_key_is_the_hash_of_the_bare_words() -> None:
    expected = hashlib.sha256(b"what s the time").hexdigest()[:16]
    assert Conversation().human("  What's   the\ntime?!").split_key == expected
    assert Conversation().human("what s the time").assistant("x").human("y").split_key == expected


@given(conversations, texts)
def test_the_split_key_looks_only_at_the_opening(conversation: Conversation, more: str) -> None:
    assume(conversation.first_human_turn)
    assert conversation.human(more).split_key == conversation.split_key
