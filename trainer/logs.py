"""The worker's log: one line an event on standard error, without the secrets in force."""

import logging
import re
import sys
from collections.abc import Sequence
from urllib.parse import urlsplit

OURS = ("labeling", "model", "settings", "trainer")
HIDDEN = "***"
LOGIN = re.compile(r"(://)[^/\s@'\"]+@")
# RQ says this at every attempt; the worker says it once.
REPEATED = "could not connect to Redis instance"


class Redacting(logging.Formatter):
    """Formats a record, traceback and all, and hides secrets and the logins in addresses."""

    def __init__(self, secrets: Sequence[str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s %(message)s", "%Y-%m-%d %H:%M:%S")
        self._secrets = [secret for secret in secrets if secret]

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self._secrets:
            text = text.replace(secret, HIDDEN)
        return LOGIN.sub(rf"\1{HIDDEN}@", text)


def configure(level: str, secrets: Sequence[str]) -> None:
    """Log ours from `level` up, the libraries' warnings."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Redacting(secrets))
    handler.addFilter(lambda record: REPEATED not in str(record.msg))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    # RQ sets its own to INFO, where it tells of every look around.
    for name in ("rq.worker", "rq.scheduler", "rq.registry", "rq.job"):
        logging.getLogger(name).setLevel(logging.WARNING)


def shown(url: str) -> str:
    """An address without its login and its query."""
    parts = urlsplit(url)
    if parts.scheme == "unix":
        return f"unix://{parts.path}"
    host = parts.hostname or ""
    place = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{place}{f':{parts.port}' if parts.port else ''}{parts.path}"
