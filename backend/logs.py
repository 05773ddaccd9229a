"""Logs: one line an event, the request's id on it, and nothing in it that opens a door.

Redaction works on the finished line, tracebacks included, so no way of logging goes around it. It knows the secrets in
force by their text, and the usual shapes of others: authorization headers, tokens, passwords in addresses, the queries
of addresses (where clouds put signatures).
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from contextvars import ContextVar
from typing import TextIO

OURS = ("backend", "labeling", "model", "settings", "trainer")
HIDDEN = "***"
# A secret this short would blank out ordinary words; the settings in force are longer, or no secret worth the name.
SHORTEST_SECRET = 4

request_id: ContextVar[str] = ContextVar("request_id", default="-")

_KEYS = r"authorization|access_token|api_key|apikey|token|refresh|password|passwd|secret|signature|credential"
_SHAPES = (
    (re.compile(r"\beyJ[\w-]+\.[\w-]+\.[\w-]*"), HIDDEN),
    (re.compile(r"(?i)\b(basic|bearer)\s+[\w.~+/=-]+"), rf"\1 {HIDDEN}"),
    (re.compile(r"(?i)\btoken\s+[0-9a-f]{20,}"), f"Token {HIDDEN}"),
    (re.compile(r"(://)[^/\s@'\"]+@"), rf"\1{HIDDEN}@"),
    (re.compile(r"((?:https?|s3|gs|azure-blob)://[^\s?'\"<>]+)\?[^\s'\"<>)]*"), rf"\1?{HIDDEN}"),
    (re.compile(rf"(?i)(['\"]?[\w-]*(?:{_KEYS})['\"]?\s*[:=]\s*)(['\"]?)[^\s'\",;&}}]+"), rf"\1\2{HIDDEN}"),
    (re.compile(r"(data:[\w/+.-]*;base64,)[\w+/=-]+"), rf"\1{HIDDEN}"),
)


def redacted(text: str, secrets: Sequence[str] = ()) -> str:
    """`text` without anything that looks like a credential, and without any of `secrets`."""
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:
            text = text.replace(secret, HIDDEN)
    for shape, shown in _SHAPES:
        text = shape.sub(shown, text)
    return text


class Redacting(logging.Formatter):
    """Formats a record, traceback and all, and hides what must not be seen."""

    def __init__(self, secrets: Sequence[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s [%(request_id)s] %(message)s", "%Y-%m-%d %H:%M:%S")
        self._secrets = tuple(secrets)

    def format(self, record: logging.LogRecord) -> str:
        record.request_id = request_id.get()
        return redacted(super().format(record), self._secrets)


def configure(level: str, secrets: Sequence[str] = (), stream: TextIO | None = None) -> logging.Handler:
    """Send all logs to `stream` (standard error), ours from `level` up, those of libraries from INFO up at most."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Redacting(secrets))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(max(logging.getLevelName(level), logging.INFO))
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    # It tells of every start and stop in five lines; the ready line says it in one.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    return handler
