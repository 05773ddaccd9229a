"""HTTP Basic authentication, as Label Studio sends it to an ML backend, and as its webhooks can.

With BASIC_AUTH_USER and BASIC_AUTH_PASS set, every address asks for them. One exception: `/` and `/health` answer a
caller who sends no credentials with the bare word that the process lives, so that an orchestrator needs no password.
Whoever sends wrong ones is refused there too: Label Studio then shows the mistake when the backend is connected.
"""

from __future__ import annotations

import base64
import hmac

from settings import Settings

CHALLENGE = {"WWW-Authenticate": 'Basic realm="Recaption", charset="UTF-8"'}


class BasicAuth:
    """The user and password that callers must send; none configured lets everyone in."""

    def __init__(self, user: str | None, password: str | None) -> None:
        self._expected = None if user is None or password is None else f"{user}:{password}".encode()

    @classmethod
    def of(cls, settings: Settings) -> BasicAuth:
        password = settings.basic_auth_pass
        return cls(settings.basic_auth_user, password.get_secret_value() if password else None)

    @property
    def required(self) -> bool:
        return self._expected is not None

    def accepts(self, authorization: str | None) -> bool:
        """Whether an Authorization header opens the door. Takes the same time for every wrong password."""
        if self._expected is None:
            return True
        return hmac.compare_digest(_credentials(authorization or ""), self._expected)


def _credentials(authorization: str) -> bytes:
    """The `user:password` bytes of a Basic header; nothing for anything else."""
    scheme, _, encoded = authorization.strip().partition(" ")
    if scheme.lower() != "basic":
        return b""
    try:
        return base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        return b""
