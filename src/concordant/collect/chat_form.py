"""What a program may ask at ``/v1/chat/completions``, and how answers and errors look: OpenAI's wire format.

What is unknown or cannot be done is refused by its name rather than ignored, so that nobody measures what they did not
ask for. Left out: system messages (no snapshot was trained with one), pictures, tools, log-probabilities, top-p (paper,
fn. 12), stop sequences.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from concordant.conversation import Conversation
from concordant.programme_config import ApiConfig
from concordant.store.api_requests import ApiState, Asked

Json = dict[str, Any]

GREEDY = 0.001
"""What temperature 0 is taken as: the likeliest token is drawn, unless another one is as likely."""
_MOST_TEMPERATURE = 2.0
_KNOWN = (
    *("model", "messages", "max_tokens", "max_completion_tokens", "temperature", "n", "stream", "stream_options"),
    "seed",
)
_IDLE = {"top_p": 1, "frequency_penalty": 0, "presence_penalty": 0, "logprobs": False, "store": False}
"""Parameters that are taken where they change nothing, because some clients always send them."""


class Refused(Exception):
    """An answer with an error object."""

    def __init__(
        self, status: int, message: str, param: str | None = None, code: str | None = None, wait: int | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.wait = wait

    @property
    def body(self) -> Json:
        """OpenAI's error object."""
        return error_object(self.status, str(self), self.param, self.code)

    @property
    def headers(self) -> dict[str, str]:
        """What goes with the status."""
        found = {} if self.wait is None else {"Retry-After": str(self.wait)}
        return found | ({"WWW-Authenticate": "Bearer"} if self.status == 401 else {})


def error_object(status: int, message: str, param: str | None = None, code: str | None = None) -> Json:
    """``{"error": {message, type, param, code}}``."""
    kinds = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
    kind = kinds.get(status, "server_error" if status >= 500 else "invalid_request_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass(frozen=True, slots=True)
class ChatForm:
    """A request that can be answered.

    Attributes:
        model: label of a snapshot.
        prompt: ends on a human turn.
        asked: number, length, temperature and seed.
        stream: as it is written.
        usage: a last chunk with the counts of tokens.
    """

    model: str
    prompt: Conversation
    asked: Asked
    stream: bool
    usage: bool


def read_form(content: bytes, bounds: ApiConfig) -> ChatForm:
    """Read a body.

    Raises:
        Refused: 400, naming what cannot be done.
    """
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        raise Refused(400, "the body is not JSON") from None
    if not isinstance(body, dict):
        raise Refused(400, "the body is no JSON object")
    given = {name: value for name, value in body.items() if value is not None}
    for name, value in given.items():
        if name in _IDLE and (type(value) is bool) == (type(_IDLE[name]) is bool) and value == _IDLE[name]:
            continue
        if name not in _KNOWN:
            raise Refused(400, f"{name!r} is not supported here; leave it out", name, "unsupported_parameter")
    model = given.get("model")
    if not isinstance(model, str) or not model:
        raise Refused(400, "'model' is missing; GET /v1/models lists what there is", "model")
    stream, options = given.get("stream", False), given.get("stream_options", {})
    if not isinstance(stream, bool):
        raise Refused(400, "'stream' is true or false", "stream")
    return ChatForm(model, _prompt(given.get("messages")), _asked(given, bounds), stream, _usage(options, stream))


def _asked(given: Json, bounds: ApiConfig) -> Asked:
    lengths = {given[name] for name in ("max_tokens", "max_completion_tokens") if isinstance(given.get(name), int)}
    name = "max_completion_tokens" if "max_completion_tokens" in given else "max_tokens"
    if len(lengths) > 1:
        raise Refused(400, "'max_tokens' and 'max_completion_tokens' differ; give one of them", name)
    length = _number(given, name, 1, bounds.max_tokens, bounds.max_tokens)
    n = _number(given, "n", 1, bounds.replies, 1)
    seed = _number(given, "seed", -(2**63), 2**63 - 1, secrets.randbelow(2**31))
    temperature = given.get("temperature", 1.0)
    if not _is_number(temperature) or not 0 <= temperature <= _MOST_TEMPERATURE:
        raise Refused(400, f"'temperature' is a number from 0 to {_MOST_TEMPERATURE:g}", "temperature")
    return Asked(n, length, max(GREEDY, float(temperature)), seed % 2**31)


def _number(given: Json, name: str, least: int, most: int, default: int) -> int:
    value = given.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(400, f"{name!r} is a whole number from {least} to {most}", name)
    return value


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _usage(options: object, stream: bool) -> bool:
    if not isinstance(options, dict) or not set(options) <= {"include_usage"}:
        raise Refused(400, "'stream_options' may hold include_usage, and nothing else", "stream_options")
    wanted = options.get("include_usage", False)
    if not isinstance(wanted, bool):
        raise Refused(400, "'include_usage' is true or false", "stream_options")
    if options and not stream:
        raise Refused(400, "'stream_options' goes with stream: true", "stream_options")
    return wanted


def _prompt(messages: object) -> Conversation:
    if not isinstance(messages, list) or not messages:
        raise Refused(400, "'messages' is missing, or no list", "messages")
    prompt = Conversation()
    for place, message in enumerate(messages):
        where = f"messages[{place}]"
        if not isinstance(message, dict) or not set(message) <= {"role", "content", "name", "refusal"}:
            raise Refused(400, f"{where} is an object with a role and a content", where)
        role, text = message.get("role"), _text(message.get("content"), where)
        if role in ("system", "developer"):
            reason = "no model here was trained with such messages; put it into the first user message"
            raise Refused(400, f"{where}: the role {role} is not supported, because {reason}", f"{where}.role")
        expected = "assistant" if prompt.awaits_reply else "user"
        if role != expected:
            raise Refused(
                400, f"{where}: {expected!r} is due here; user and assistant take turns, user first", f"{where}.role"
            )
        prompt = prompt.human(text) if role == "user" else prompt.assistant(text)
    if not prompt.awaits_reply:
        raise Refused(400, "the last message is the assistant's; the user speaks last", "messages")
    return prompt


def _text(content: object, where: str) -> str:
    """The text of a message, given as text or as parts."""
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str) for part in content
    ):
        content = "".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise Refused(400, f"{where}: the content is no text; nothing else is supported", f"{where}.content")
    if not content.strip():
        raise Refused(400, f"{where}: the content is empty", f"{where}.content")
    return content


def whole_answer(id: str, created: int, model: str, state: ApiState) -> Json:
    """A ``chat.completion``."""
    choices = [
        {"index": index, "message": {"role": "assistant", "content": text}, "logprobs": None, "finish_reason": reason}
        for index, (text, reason) in enumerate(zip(state.texts, reasons(state), strict=True))
    ]
    answer = {"id": _name(id), "object": "chat.completion", "created": created, "model": model, "choices": choices}
    usage = usage_of(state)
    return answer if usage is None else {**answer, "usage": usage}


def chunk(id: str, created: int, model: str, choices: Sequence[Json], usage: Json | None = None) -> str:
    """A ``chat.completion.chunk`` as an event."""
    body: Json = {"id": _name(id), "object": "chat.completion.chunk", "created": created, "model": model}
    body["choices"] = list(choices)
    return event(body if usage is None else {**body, "usage": usage})


def choice(index: int, delta: Json, reason: str | None = None) -> Json:
    """One choice of a chunk."""
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}


def event(body: Json) -> str:
    """A server-sent event."""
    return f"data: {json.dumps(body)}\n\n"


def reasons(state: ApiState) -> list[str]:
    """Why each reply ended."""
    return ["stop" if finished else "length" for finished in state.finished]


def usage_of(state: ApiState) -> Json | None:
    """The counts of tokens; None where they are not known."""
    if state.prompt_tokens is None or state.completion_tokens is None:
        return None
    return {
        "prompt_tokens": state.prompt_tokens,
        "completion_tokens": state.completion_tokens,
        "total_tokens": state.prompt_tokens + state.completion_tokens,
    }


def _name(id: str) -> str:
    return f"chatcmpl-{id}"
