"""Waiting for what other threads and processes do."""

import time
from collections.abc import Callable
from typing import Any

WAIT_S = 60.0


def wait_until(
    reached: Callable[[], Any], what: str = "what was waited for", timeout_s: float = WAIT_S, *, every_s: float = 0.03
) -> Any:
    """What `reached` returns once that is true; the test fails with `what` when it takes too long."""
    deadline = time.monotonic() + timeout_s
    while not (result := reached()):
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(every_s)
    return result
