"""The sampler over an endpoint, against a real server that behaves, and that misbehaves in every way it can."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from concordant.conversation import Conversation
from concordant.endpoint_sampler import EndpointFailed, EndpointSampler, Patience, _asked_wait, endpoint_spec
from concordant.errors import UserError
from concordant.sampler import Adjustable, BestOfK, Reply, ReplyLimits, Sampler
from odd_server import Answer, Call, OddServer, good, odd_server, status

HELLO = Conversation().human("hello").assistant("hi").human("how are you")
QUICK = Patience(connect=2, silence=0.4, deadline=2.0, pause=0.02, most_pause=0.1, tries=3, most_bytes=20_000)


def sampler(server: OddServer, patience: Patience = QUICK, key_env: str | None = None) -> EndpointSampler:
    return EndpointSampler(server.url, "a-model", key_env, ReplyLimits(16, 0.5), patience)


def one(server: OddServer, **settings: Any) -> Reply:
    return sampler(server, **settings).sample([HELLO], 1, 3)[0][0]


def test_a_reply_is_streamed_and_the_request_is_the_wire_format(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    told: list[tuple[int, int, str]] = []
    with odd_server(good(" I am", " well", ".")) as server:
        reply = sampler(server, key_env="SOME_KEY").sample(
            [HELLO], 1, 3, lambda index, number, text: told.append((index, number, text))
        )[0][0]
    assert reply == Reply("I am well.", True, 3, prompt_tokens=7)
    assert told == [(0, 0, "I am"), (0, 0, "I am well"), (0, 0, "I am well.")]
    (asked,) = server.asked
    assert (asked["path"], asked["key"]) == ("/v1/chat/completions", "Bearer sk-secret")
    assert asked["body"]["messages"] == [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "hi"},
        {"role": "user", "content": "how are you"},
    ]
    assert (asked["body"]["model"], asked["body"]["max_tokens"], asked["body"]["temperature"]) == ("a-model", 16, 0.5)
    assert asked["body"]["stream"] is True


def test_a_reply_cut_by_length_is_unfinished_and_unknown_counts_stay_unknown() -> None:
    with odd_server(good("cut of", reason="length", usage=False)) as server:
        assert one(server) == Reply("cut of", False, None)


def test_each_reply_has_a_seed_of_its_own_that_comes_back() -> None:
    with odd_server(good("yes")) as server:
        for _ in range(2):
            assert [len(group) for group in sampler(server).sample([HELLO, HELLO], 3, 5)] == [3, 3]
        assert server.asked[0]["key"] is None
    seeds = [asked["body"]["seed"] for asked in server.asked]
    assert sorted(seeds[:6]) == sorted(seeds[6:]) and len(set(seeds)) == 6


def test_an_endpoint_that_does_not_stream_will_do() -> None:
    whole = {"choices": [{"message": {"content": "whole"}, "finish_reason": "stop"}], "usage": {"completion_tokens": 2}}
    with odd_server(status(200, json.dumps(whole))) as server:
        assert one(server) == Reply("whole", True, 2)


def broken_off(call: Call) -> None:
    call.begin()
    call.said("half of")


def torn(call: Call) -> None:
    """Ends in the middle of an event."""
    broken_off(call)
    call.put('data: {"choices": [{"del')


def cut_chunk(call: Call) -> None:
    """Promises more bytes than come."""
    call.begin(Content_Length="100000")
    call.said("half of")


def trouble_inside(call: Call) -> None:
    call.begin()
    call.said("half of")
    call.event({"error": {"message": "overloaded"}})


def hangs_up(call: Call) -> None:
    call.connection.close()


def silent(call: Call) -> None:
    call.server.over.wait(5)


def stalls(call: Call) -> None:
    broken_off(call)
    call.server.over.wait(5)


@pytest.mark.parametrize(
    "first",
    [
        status(429),
        status(500, "<html>oops"),
        status(503),
        broken_off,
        torn,
        cut_chunk,
        trouble_inside,
        hangs_up,
        good(" "),
        silent,
        stalls,
    ],
)
def test_what_is_likely_to_pass_is_tried_again(first: Answer) -> None:
    with odd_server(first, good("fine now")) as server:
        assert one(server).text == "fine now"
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("answer", "reason", "tries"),
    [
        (status(500, "the disk\nis on fire"), "status 500: the disk is on fire; given up after 3 tries", 3),
        (status(401, '{"error": "wrong key sk-secret"}'), "status 401", 1),
        (status(400, "no such parameter"), "status 400: no such parameter", 1),
        (status(404), "status 404", 1),
        (status(301, "", Location="http://127.0.0.1:1/"), "status 301", 1),
        (broken_off, "the stream broke off; given up after 3 tries", 3),
        (silent, "ReadTimeout", 3),
    ],
)
def test_what_does_not_pass_fails_with_its_reason(
    answer: Answer, reason: str, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_KEY", "sk-secret")
    with odd_server(answer) as server, pytest.raises(EndpointFailed) as caught:
        one(server, key_env="SOME_KEY")
    assert reason in str(caught.value) and str(caught.value).startswith(f"a-model at {server.url}: ")
    assert "sk-secret" not in str(caught.value)
    assert len(server.asked) == tries


def no_json(call: Call) -> None:
    call.begin()
    call.event("{not json")


def wrong_kind(call: Call) -> None:
    call.begin(kind="text/html")
    call.put("<h1>Welcome</h1>")


def no_text(call: Call) -> None:
    call.begin()
    call.event({"choices": [{"delta": {"content": 5}, "finish_reason": None}]})


def no_object(call: Call) -> None:
    call.begin()
    call.event([1, 2])


def huge(call: Call) -> None:
    call.begin()
    for _ in range(100):
        call.said("word " * 100)
    call.said("", "stop")


def endless_line(call: Call) -> None:
    call.begin()
    call.put("data: " + "x" * 50_000)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (no_json, "is not JSON"),
        (status(200, "<html>"), "is not JSON"),
        (status(200, "{}"), "no choices with a finish_reason"),
        (wrong_kind, "answered with text/html"),
        (no_text, "content that is no text"),
        (no_object, "no object"),
        (huge, "more than 20,000 bytes"),
        (endless_line, "more than 20,000 bytes"),
        (good("I can", reason="content_filter"), "ended the reply for 'content_filter'"),
    ],
)
def test_what_is_no_reply_fails_at_once(answer: Answer, reason: str) -> None:
    with odd_server(answer, good("never asked")) as server, pytest.raises(EndpointFailed, match=reason):
        one(server)
    assert len(server.asked) == 1


def drips(call: Call) -> None:
    """Never silent for long, and never done."""
    call.begin()
    while not call.server.over.wait(0.05):
        call.said("x")


def test_a_reply_has_a_deadline_however_it_is_delayed() -> None:
    patience = replace(QUICK, deadline=0.6)
    for answer in (drips, status(429, "{}", Retry_After="30"), silent):
        begin = time.monotonic()
        with odd_server(answer) as server, pytest.raises(EndpointFailed):
            one(server, patience=patience)
        assert time.monotonic() - begin < 2.5


def test_the_endpoint_says_how_long_to_wait() -> None:
    with odd_server(status(429, "{}", Retry_After="1"), good("fine")) as server:
        begin = time.monotonic()
        assert one(server).text == "fine"
    assert 1.0 <= time.monotonic() - begin < 2.5
    assert _asked_wait("7") == 7 and _asked_wait(None) is None and _asked_wait("soon") is None
    later = _asked_wait(format_datetime(datetime.now(UTC) + timedelta(seconds=60)))
    assert later is not None and 55 < later <= 60


def test_a_key_that_is_not_there_is_named_and_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SOME_KEY", raising=False)
    with odd_server(good("yes")) as server, pytest.raises(EndpointFailed, match="SOME_KEY is not set"):
        one(server, key_env="SOME_KEY")
    assert server.asked == []


def test_whoever_listens_can_end_it() -> None:
    class Enough(Exception):
        pass

    def enough(index: int, reply: int, text: str) -> None:
        raise Enough

    with odd_server(drips) as server, pytest.raises(Enough):
        sampler(server).sample([HELLO], 1, 0, enough)


def test_it_takes_its_place_among_samplers() -> None:
    class Longest:
        def score(self, prompt: Conversation, replies: list[str]) -> list[float]:
            return [float(len(reply)) for reply in replies]

    with odd_server(good("short"), good("much longer"), good("mid one")) as server:
        plain = sampler(server)
        assert isinstance(plain, Sampler) and isinstance(plain, Adjustable)
        best: Any = BestOfK(plain, Longest(), 3)  # type: ignore[arg-type]
        assert best.sample([HELLO], 1, 0)[0][0].text == "much longer"
        assert best.with_limits(ReplyLimits(9, 0.1)).sampler.limits == ReplyLimits(9, 0.1)


@pytest.mark.parametrize(
    ("url", "model", "key_env", "message"),
    [
        ("ftp://host/v1", "m", None, "is no address"),
        ("localhost:8000", "m", None, "is no address"),
        ("http://user:secret@host/v1", "m", None, "more than an address"),
        ("http://host/v1?key=secret", "m", None, "more than an address"),
        ("http://host/v1", " ", None, "--model is empty"),
        ("http://host/v1", "m", "sk-1234-secret", "NAME of an environment variable"),
    ],
)
def test_an_endpoint_is_checked_and_holds_no_secret(url: str, model: str, key_env: str | None, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        endpoint_spec(url, model, key_env)
    assert "secret" not in str(caught.value)


def test_a_good_endpoint_is_kept_as_it_is() -> None:
    check: Callable[..., Any] = endpoint_spec
    assert check("http://host:8000/v1/", "m", "OPENAI_KEY") == {
        "url": "http://host:8000/v1",
        "model": "m",
        "key_env": "OPENAI_KEY",
    }
