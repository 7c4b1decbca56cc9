"""``/v1/chat/completions`` and ``/v1/models``: the deployed snapshots for programs, by API key, in OpenAI's form.

A request waits in the store until the generator has time for it, which is when no worker waits. Its texts are erased
once they are handed over. Left out: completions without a chat, embeddings, pages for keys.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from concordant.collect.chat_form import (
    ChatForm,
    Refused,
    choice,
    chunk,
    error_object,
    event,
    read_form,
    reasons,
    usage_of,
    whole_answer,
)
from concordant.collect.chat_watch import ChatWatch
from concordant.collect.heartbeat import GeneratorState
from concordant.collect.room import Room, RoomHere
from concordant.store.api_keys import ApiKey, key_by_secret
from concordant.store.api_requests import ApiState, Bounds, QueueFull, ask
from concordant.store.registry import Snapshot, SnapshotKind, active_deployments

router = APIRouter(prefix="/v1")
SILENCE_SECONDS = 5.0
"""A stream that says nothing for so long sends an empty comment: so a proxy keeps it, and a client's end is noticed."""
_OWN_WAIT, _FULL_WAIT = 5, 15
_OVER = ("failed", "refused", "cancelled")


def key_of(request: Request, room: RoomHere) -> ApiKey:
    """Whose request it is.

    Raises:
        Refused: 401, without a key that is valid.
    """
    scheme, _, secret = request.headers.get("authorization", "").partition(" ")
    key = key_by_secret(room.db, secret.strip()) if scheme.lower() == "bearer" and secret.strip() else None
    if key is None:
        raise Refused(401, "no valid key; send 'Authorization: Bearer KEY'", code="invalid_api_key")
    return key


KeyHere = Annotated[ApiKey, Depends(key_of)]


@router.get("/models")
def all_models(room: RoomHere, key: KeyHere) -> Response:
    """What the key may use now."""
    return JSONResponse({"object": "list", "data": [_model(one) for one in usable(room, key).values()]})


@router.get("/models/{model:path}")
def one_model(model: str, room: RoomHere, key: KeyHere) -> Response:
    """One of them."""
    return JSONResponse(_model(_wanted(room, key, model)))


@router.post("/chat/completions")
async def complete(request: Request, room: RoomHere, key: KeyHere) -> Response:
    """Write replies to a conversation, in one answer or as a stream."""
    form = read_form(await request.body(), room.api)
    id = await asyncio.to_thread(_begin, room, key, form)
    watch: ChatWatch = request.app.state.chat_watch
    if form.stream:
        body = _chunks(room, watch, id, form)
        return StreamingResponse(body, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
    return JSONResponse(await _whole(request, room, watch, id, form))


def refused(request: Request, error: Exception) -> Response:
    """An error object."""
    assert isinstance(error, Refused)
    return JSONResponse(error.body, error.status, headers=error.headers)


def usable(room: Room, key: ApiKey) -> dict[str, Snapshot]:
    """Label → snapshot, of all that are live and that the key may use."""
    live = (one.snapshot for one in active_deployments(room.db) if one.snapshot.kind is not SnapshotKind.WRITTEN)
    return {one.label: one for one in live if key.allows(one.id)}


def _wanted(room: Room, key: ApiKey, model: str) -> Snapshot:
    found = usable(room, key).get(model)
    if found is None:
        raise Refused(
            404, f"there is no model {model!r} for this key; GET /v1/models lists them", "model", "model_not_found"
        )
    return found


def _model(of: Snapshot) -> dict[str, Any]:
    return {"id": of.label, "object": "model", "created": int(of.created.timestamp()), "owned_by": "concordant"}


def _begin(room: Room, key: ApiKey, form: ChatForm) -> str:
    """Queue a request; returns its id."""
    found = _wanted(room, key, form.model)
    if room.heartbeat.read() is GeneratorState.GONE:
        raise Refused(503, "the program that writes replies is not running; try again later", wait=_FULL_WAIT)
    try:
        return ask(room.db, key.id, found.id, form.prompt, form.asked, Bounds(room.api.queue, room.api.per_key))
    except QueueFull as full:
        if full.own:
            message = f"this key has {room.api.per_key} open requests already; wait until one is done"
            raise Refused(429, message, code="rate_limit_exceeded", wait=_OWN_WAIT) from None
        raise Refused(
            503, "too many requests are waiting; try again later", code="overloaded", wait=_FULL_WAIT
        ) from None


def _trouble(room: Room, state: ApiState, began: float) -> Refused | None:
    """Why a request will not be answered, or None."""
    if state.status == "refused":
        return Refused(400, state.error, "messages")
    if state.status in _OVER:
        return Refused(503, state.error or "the request was cancelled", wait=_FULL_WAIT)
    if state.status == "done":
        return None
    if time.monotonic() - began > room.api.wait_seconds:
        return Refused(503, f"not answered within {room.api.wait_seconds:g} s", code="timeout", wait=_FULL_WAIT)
    if room.stopping():
        return Refused(503, "the server ends; try again in a moment", wait=_OWN_WAIT)
    return None


async def _whole(request: Request, room: Room, watch: ChatWatch, id: str, form: ChatForm) -> dict[str, Any]:
    began, created = time.monotonic(), int(time.time())
    async with aclosing(watch.states(id)) as found:
        async for state in found:
            if state.status == "done":
                return whole_answer(id, created, form.model, state)
            trouble = _trouble(room, state, began)
            if trouble is not None:
                raise trouble
            if await request.is_disconnected():
                raise Refused(400, "the client went away")  # nobody reads it
    raise AssertionError("unreachable")


async def _chunks(room: Room, watch: ChatWatch, id: str, form: ChatForm) -> AsyncIterator[str]:
    """The events of a stream. What was sent is never taken back: a text that does not go on from it ends the stream."""
    began, created, silent = time.monotonic(), int(time.time()), 0.0
    sent = [""] * form.asked.n
    for index in range(form.asked.n):
        yield chunk(id, created, form.model, [choice(index, {"role": "assistant", "content": ""})])
    async with aclosing(watch.states(id)) as found:
        async for state in found:
            trouble = _trouble(room, state, began)
            done = state.status == "done"
            if trouble is None and done and not all(map(str.startswith, state.texts, sent)):
                trouble = Refused(503, "the reply was begun anew and came out otherwise", wait=_OWN_WAIT)
            if trouble is not None:
                yield event(error_object(trouble.status, str(trouble), trouble.param, trouble.code))
                return
            silent += 0.2
            for index, text in enumerate(state.texts):
                if text.startswith(sent[index]) and text != sent[index]:
                    yield chunk(id, created, form.model, [choice(index, {"content": text[len(sent[index]) :]})])
                    sent[index], silent = text, 0.0
            if done:
                for index, reason in enumerate(reasons(state)):
                    yield chunk(id, created, form.model, [choice(index, {}, reason)])
                usage = usage_of(state) if form.usage else None
                if usage is not None:
                    yield chunk(id, created, form.model, [], usage)
                yield "data: [DONE]\n\n"
                return
            if silent >= SILENCE_SECONDS:
                silent = 0.0
                yield ": waiting\n\n"


def v1_error(request: Request, status: int, message: str) -> Response | None:
    """An error object for what the application as a whole refuses; None outside ``/v1``."""
    if not request.url.path.startswith("/v1/"):
        return None
    return JSONResponse(error_object(status, message), status)
