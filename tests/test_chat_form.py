"""What may be asked at /v1/chat/completions, and what is refused by its name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from concordant.collect.chat_form import GREEDY, Refused, read_form, whole_answer
from concordant.conversation import Conversation
from concordant.programme_config import ApiConfig
from concordant.store.api_requests import ApiState

HELLO = [{"role": "user", "content": "hello"}]
BOUNDS = ApiConfig(max_tokens=100, replies=3)


def read(**body: Any) -> Any:
    return read_form(json.dumps({"model": "base", "messages": HELLO, **body}).encode(), BOUNDS)


def test_the_least_request_takes_the_defaults() -> None:
    form = read()
    assert (form.model, form.prompt, form.stream) == ("base", Conversation().human("hello"), False)
    assert (form.asked.n, form.asked.max_tokens, form.asked.temperature) == (1, 100, 1.0)
    assert 0 <= form.asked.seed < 2**31


def test_everything_supported_arrives() -> None:
    messages = [
        *HELLO,
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    form = read(
        messages=messages,
        n=2,
        max_completion_tokens=7,
        temperature=0,
        seed=-1,
        stream=True,
        stream_options={"include_usage": True},
        top_p=1.0,
        presence_penalty=0,
        stop=None,
    )
    assert form.prompt == Conversation().human("hello").assistant("hi").human("ab")
    assert (form.asked.n, form.asked.max_tokens, form.asked.temperature) == (2, 7, GREEDY)
    assert form.asked.seed == 2**31 - 1 and form.stream and form.usage


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"top_p": 0.9}, "top_p"),
        ({"tools": []}, "tools"),
        ({"stop": ["x"]}, "stop"),
        ({"logprobs": True}, "logprobs"),
        ({"top_p": True}, "top_p"),
        ({"frobnicate": 1}, "frobnicate"),
        ({"n": 4}, "n"),
        ({"n": 0}, "n"),
        ({"n": True}, "n"),
        ({"n": "2"}, "n"),
        ({"max_tokens": 101}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": -1}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"seed": 2**63}, "seed"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, "stream_options"),
        ({"stream": True, "stream_options": {"other": 1}}, "stream_options"),
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hello"]}, "messages[0]"),
        ({"messages": [{"role": "system", "content": "be kind"}, *HELLO]}, "messages[0].role"),
        ({"messages": [{"role": "assistant", "content": "hi"}]}, "messages[0].role"),
        ({"messages": HELLO * 2}, "messages[1].role"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "hi"}]}, "messages"),
        ({"messages": [{"role": "user", "content": ""}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "x", "tool_calls": []}]}, "messages[0]"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        read(**body)
    assert (caught.value.status, caught.value.param) == (400, param)
    error = caught.value.body["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    [
                        "model",
                        "messages",
                        "role",
                        "content",
                        "n",
                        "stream",
                        "stream_options",
                        "max_tokens",
                        "temperature",
                    ]
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    ).map(lambda value: json.dumps(value).encode())
)
def test_anything_at_all_is_read_or_refused(content: bytes) -> None:
    try:
        assert read_form(content, BOUNDS).prompt.awaits_reply
    except Refused as refused:
        assert refused.status == 400


def test_counts_of_tokens_are_true_or_left_out() -> None:
    state = ApiState("done", ("a", "b"), (True, False), 4, 9, "")
    answer = whole_answer("x", 5, "base", state)
    assert answer["usage"] == {"prompt_tokens": 4, "completion_tokens": 9, "total_tokens": 13}
    assert [choice["finish_reason"] for choice in answer["choices"]] == ["stop", "length"]
    assert answer["choices"][0]["message"] == {"role": "assistant", "content": "a"}
    assert "usage" not in whole_answer("x", 5, "base", ApiState("done", ("a",), (True,), None, 9, ""))
