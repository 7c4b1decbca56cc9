"""Special tokens, begin of text, round trip and prefix: sound tokenizers and templates, and broken ones."""

import pytest

from concordant.evaluate.doctor_format import (
    check_beginning,
    check_prompt_prefix,
    check_round_trip,
    check_special_tokens,
)
from concordant.evaluate.doctor_parts import CASES
from concordant.models.chat_format import ChatFormat
from concordant.models.preference_model import PreferenceModel
from toy_model import END, END_OF_TEXT, HIDDEN_MARK, TEMPLATE, ToyModels, toy_tokenizer

CONTENT = "{{ message['content'] }}"


def chat(template: str | None = TEMPLATE) -> ChatFormat:
    return ChatFormat(toy_tokenizer(template))


@pytest.mark.parametrize("template", [TEMPLATE, None], ids=["template", "transcript"])
def test_a_sound_tokenizer(template: str | None) -> None:
    format = chat(template)
    padding = format.tokenizer.pad_token_id
    verdicts = (
        check_special_tokens(format, padding, scores=False),
        check_round_trip(format, CASES),
        check_prompt_prefix(format, CASES),
    )
    assert [(verdict.status, verdict.measured) for verdict in verdicts] == [("ok", 0.0)] * 3
    assert check_beginning(format, CASES).status == "not applicable"


@pytest.mark.parametrize(("token", "shared"), [(END, "end of turn"), (END_OF_TEXT, "end of text")])
def test_padding_that_ends_something(token: str, shared: str) -> None:
    format = chat()
    format.tokenizer.pad_token = token
    verdict = check_special_tokens(format, format.tokenizer.pad_token_id, scores=False)
    assert (verdict.status, verdict.measured) == ("warning", 1.0)
    assert f"padding is also {shared}:" in verdict.meaning


def test_no_padding_token() -> None:
    format = chat()
    format.tokenizer.pad_token = None
    verdict = check_special_tokens(format, None, scores=False)
    assert (verdict.status, verdict.meaning) == ("ok", "there is no padding token")


def test_an_end_of_context_that_is_something_else(toy: ToyModels) -> None:
    format = PreferenceModel.from_language_model(toy.chat, seed=0).format
    assert check_special_tokens(format, format.tokenizer.pad_token_id, scores=True).status == "ok"
    end = len(format.tokenizer) - 1
    verdict = check_special_tokens(format, end, scores=True)
    assert verdict.status == "wrong" and "end of context is also padding:" in verdict.meaning
    format.tokenizer.eos_token = "<|end_of_context|>"
    verdict = check_special_tokens(format, format.tokenizer.pad_token_id, scores=True)
    assert verdict.status == "wrong" and "end of context is also end of text:" in verdict.meaning


@pytest.mark.parametrize(
    ("begin", "status", "measured"), [("", "ok", 0), ("{{ bos_token }}", "ok", 1), ("{{ bos_token }}" * 2, "wrong", 2)]
)
def test_begin_of_text(begin: str, status: str, measured: int) -> None:
    format = chat(begin + TEMPLATE)
    format.tokenizer.bos_token = HIDDEN_MARK
    verdict = check_beginning(format, CASES)
    assert (verdict.status, verdict.measured) == (status, measured)


def test_a_begin_of_text_that_is_forgotten() -> None:
    """The tokenizer puts one before every text, and a rendered prompt has none."""
    from tokenizers.processors import TemplateProcessing

    format = chat()
    format.tokenizer.bos_token = HIDDEN_MARK
    token = format.tokenizer.bos_token_id
    format.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{HIDDEN_MARK} $A", special_tokens=[(HIDDEN_MARK, token)]
    )
    verdict = check_beginning(format, CASES)
    assert verdict.status == "warning" and "a rendered prompt does not" in verdict.meaning


def test_a_template_that_trims() -> None:
    verdict = check_round_trip(chat(TEMPLATE.replace(CONTENT, "{{ message['content'] | trim }}")), CASES)
    assert verdict.status == "warning" and "white space around a message" in verdict.meaning


@pytest.mark.parametrize(
    "change", ["| lower", "| replace('\\n', ' ')", "[:200]", "| wordwrap(40)"], ids=["case", "lines", "cut", "wrap"]
)
def test_a_template_that_changes_the_text(change: str) -> None:
    verdict = check_round_trip(chat(TEMPLATE.replace("['content']", f"['content'] {change}")), CASES)
    assert verdict.status == "wrong" and verdict.measured is not None and verdict.measured >= 1


def test_a_tokenizer_that_changes_the_text() -> None:
    from tokenizers import normalizers

    format = chat()
    format.tokenizer.backend_tokenizer.normalizer = normalizers.Lowercase()
    verdict = check_round_trip(format, CASES)
    assert verdict.status == "wrong" and verdict.measured is not None and verdict.measured >= 8


def test_a_template_that_forgets_the_prompt() -> None:
    """What is asked for and what stands in the finished conversation differ."""
    thinks = TEMPLATE.replace("<|im_start|>assistant\n{% endif %}", "<|im_start|>assistant\n(thinking){% endif %}")
    verdict = check_prompt_prefix(chat(thinks), CASES)
    assert (verdict.status, verdict.measured) == ("wrong", 2.0 * len(CASES))
