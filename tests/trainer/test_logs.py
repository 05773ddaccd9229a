"""The worker's log shows no secret."""

import logging
import sys

import pytest

from trainer.logs import Redacting, shown


def record(message: str, *arguments: object, error: BaseException | None = None) -> logging.LogRecord:
    failure = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord("trainer", logging.INFO, __file__, 1, message, arguments, failure)


def test_secrets_and_logins_are_hidden_in_tracebacks_too() -> None:
    formatter = Redacting(["s3cret-token", ""])
    text = formatter.format(record("%s and redis://user:word@host:6379/0", "s3cret-token"))
    assert text.endswith("*** and redis://***@host:6379/0")
    try:
        raise RuntimeError("token s3cret-token was refused")
    except RuntimeError:
        text = formatter.format(record("failed", error=sys.exc_info()[1]))
    assert "token *** was refused" in text


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("redis://user:word@host:6379/0", "redis://host:6379/0"),
        ("rediss://:word@host/1?password=word", "rediss://host/1"),
        ("unix:///data/valkey/valkey.sock?password=word", "unix:///data/valkey/valkey.sock"),
        ("redis://[::1]:6379", "redis://[::1]:6379"),
    ],
)
def test_an_address_is_shown_without_its_login(url: str, text: str) -> None:
    assert shown(url) == text
