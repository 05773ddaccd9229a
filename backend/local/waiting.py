"""Waiting until a server that was just started answers."""

import time
from collections.abc import Callable

import requests

from backend.local.errors import LocalError

POLL_S = 0.2
ANSWER_TIMEOUT_S = 5.0


def until_answers(url: str, *, what: str, timeout_s: float, check: Callable[[], None]) -> None:
    """Return once a GET of `url` gives 200. `check` is called in between and may raise: the dead need no waiting.

    Raises LocalError after timeout_s.
    """
    deadline = time.monotonic() + timeout_s
    with requests.Session() as session:
        # The server is on this machine: a proxy for the outside world does not know it.
        session.trust_env = False
        while not _answers(session, url):
            check()
            if time.monotonic() > deadline:
                raise LocalError(f"{what} did not answer at {url} within {timeout_s:.0f} s. Its log says more.")
            time.sleep(POLL_S)


def _answers(session: requests.Session, url: str) -> bool:
    try:
        return session.get(url, timeout=ANSWER_TIMEOUT_S).status_code == 200
    except requests.RequestException:
        return False
