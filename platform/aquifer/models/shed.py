"""Shedding load: what comes beyond what can be answered soon is refused at once.

Belongs here: bounds on requests, as middleware around the app. Does not: the answers.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aquifer.models.metrics import Metrics

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MOST_WITHIN = 64
"""Requests that are answered at a time; about 20 ms of work."""

MOST_BYTES = 2_000_000
"""Of a body."""

BODY_SECONDS = 5.0
"""How long a body may take to come."""


class Shed:
    """The app, with bounds on what is posted to it.

    Args:
        known: the names of models, by which requests are counted.
    """

    def __init__(self, app: App, metrics: Metrics, known: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._known = known
        self._within = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length", b"")
        if not length.isdigit():
            await _refuse(send, 411, "give the length of the body")
            return
        if int(length) > MOST_BYTES:
            await _refuse(
                send, 413, f"the body has more than {MOST_BYTES:,} bytes; send less at once"
            )
            return
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _body(receive)
        except TimeoutError:
            await _refuse(send, 408, f"the body has not come within {BODY_SECONDS:g} s")
            return
        if body is None:
            return
        if self._within >= MOST_WITHIN:
            self._metrics.shed.inc()
            await _refuse(send, 503, "too many requests at once; try again")
            return
        self._within += 1
        try:
            # Whatever has come on other connections is counted before this is worked on.
            await asyncio.sleep(0)
            await self._measured(scope, _again(body, receive), send)
        finally:
            self._within -= 1

    async def _measured(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()

        async def noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                name = scope.get("path_params", {}).get("name", "")
                model = name if name in self._known else ""
                self._metrics.requests.labels(model, message["status"]).inc()
                self._metrics.seconds.labels(model).observe(time.perf_counter() - begun)
            await send(message)

        await self._app(scope, receive, noted)


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if who sends it has gone."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """What gives a body that was received."""
    left = [body]

    async def given() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return given


async def _refuse(send: Send, status: int, why: str) -> None:
    body = json.dumps({"detail": why}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *([(b"retry-after", b"1")] if status == 503 else [(b"connection", b"close")]),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
