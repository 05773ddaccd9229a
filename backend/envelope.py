"""What surrounds every request: its id, one log line, its time, and errors as JSON without a traceback.

    {"error": "what was wrong and what is expected", "request_id": "3f9c..."}

The id is in the `X-Request-ID` header of every answer and on every log line of the request; a caller may send its own.
"""

from __future__ import annotations

import json
import logging
import re
import time
import uuid
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from backend.logs import request_id
from backend.metrics import Metrics

log = logging.getLogger(__name__)

# Label Studio posts a whole selection of tasks at once, and data: pictures travel inside their tasks.
MAX_BODY = 64_000_000
_OWN_ID = re.compile(r"[\w.-]{1,64}")


class Refusal(Exception):
    """A request that is answered with an error: its HTTP status, one sentence, and headers if it takes some."""

    def __init__(self, status: int, reason: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.headers = headers


class Envelope:
    """ASGI middleware, outermost: gives each request its id, measures it, and catches what nobody else did."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = _identifier(scope)
        token = request_id.set(identifier)
        status = 0
        started = time.perf_counter()

        async def sealed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", identifier.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sealed)
        except ClientDisconnect:
            log.info("%s %s: the caller hung up", scope["method"], scope["path"])
        except Exception:
            log.exception("%s %s failed", scope["method"], scope["path"])
            if not status:
                await problem(500, "internal error: the log has the details")(scope, receive, sealed)
        finally:
            self._note(scope, status, time.perf_counter() - started)
            request_id.reset(token)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = scope.get("route")
        path = getattr(route, "path", "other")
        self._metrics.request(path, status, seconds)
        level = logging.DEBUG if path in ("/", "/health", "/metrics") else logging.INFO
        log.log(level, "%s %s %d in %.0f ms", scope["method"], scope["path"], status, seconds * 1000)


def problem(status: int, reason: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as callers see it."""
    return JSONResponse({"error": reason, "request_id": request_id.get()}, status, headers)


def handle_errors(app: FastAPI) -> None:
    """Answer refusals, unknown addresses and wrong methods in the one shape."""

    @app.exception_handler(Refusal)
    async def _refused(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, Refusal)
        return problem(error.status, error.reason, error.headers)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers) if error.headers else None
        return problem(error.status_code, f"{request.method} {request.url.path}: {error.detail}", headers)


async def read_object(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises Refusal: 413 over MAX_BODY, 400 for anything but an object."""
    chunks: list[bytes] = []
    size = 0
    stated = request.headers.get("content-length", "")
    if stated.isdigit() and int(stated) > MAX_BODY:
        raise _too_large()
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY:
            raise _too_large()
        chunks.append(chunk)
    try:
        body = json.loads(b"".join(chunks) or b"null")
    except (ValueError, RecursionError):
        raise Refusal(400, "the body is not JSON; expected a JSON object") from None
    if not isinstance(body, dict):
        raise Refusal(400, f"the body is {_kind(body)}; expected a JSON object")
    return body


def _too_large() -> Refusal:
    return Refusal(
        413, f"the body is larger than {MAX_BODY:,} bytes; send fewer tasks at once", {"Connection": "close"}
    )


def _identifier(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _OWN_ID.fullmatch(text := str(value, "latin-1")):
            return text
    return uuid.uuid4().hex[:12]


def _kind(value: object) -> str:
    kinds: dict[type, str] = {list: "a list", str: "a text", type(None): "empty"}
    return kinds.get(type(value), "a number or a truth value")
