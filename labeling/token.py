"""The three credentials Label Studio hands out, and the header each one needs.

- personal: a personal access token, which is a JWT *refresh* token. It opens nothing itself: POST /api/token/refresh
  exchanges it for an access token that lives 300 s and is sent as `Bearer`.
- access: such an access token, given directly. It cannot be renewed.
- legacy: the old 40-character token, sent as `Token`. New organisations have it switched off.
"""

import base64
import binascii
import json
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

TokenKind = Literal["personal", "access", "legacy"]

# An access token with less than this left is renewed before use: the request it opens takes time, too.
RENEW_BEFORE_S = 60.0


def token_kind(token: str) -> TokenKind:
    """Which of the three this is, by the JWT claim `token_type`; what is no JWT is a legacy token."""
    kinds: dict[Any, TokenKind] = {"refresh": "personal", "access": "access"}
    return kinds.get(_claims(token).get("token_type"), "legacy")


def lifetime_s(access: str) -> float:
    """Seconds an access token lives, by its own claims, so that a clock that differs from the server's does no harm."""
    claims = _claims(access)
    expires, issued = claims.get("exp"), claims.get("iat", time.time())
    if not isinstance(expires, int | float) or not isinstance(issued, int | float):
        return 0.0
    return float(expires - issued)


class Credential:
    """One token and the Authorization header it makes; exchanged and renewed as needed, by one thread at a time."""

    def __init__(self, token: str, exchange: Callable[[str], str]) -> None:
        """`exchange` turns a personal access token into a fresh access token, over the network."""
        self.kind: TokenKind = token_kind(token)
        self._token = token
        self._exchange = exchange
        self._access = ""
        self._renew_at = 0.0
        self._lock = threading.Lock()

    def header(self) -> str:
        """The Authorization header's value now. Raises what `exchange` raises."""
        if self.kind == "legacy":
            return f"Token {self._token}"
        if self.kind == "access":
            return f"Bearer {self._token}"
        with self._lock:
            if time.monotonic() >= self._renew_at:
                self._renew()
            return f"Bearer {self._access}"

    def refused(self, header: str) -> bool:
        """Told that `header` was answered 401: whether asking `header()` again gives another one to try."""
        if self.kind != "personal":
            return False
        with self._lock:
            # Another thread may have renewed it in the meantime: then its token is the one to try.
            if header == f"Bearer {self._access}":
                self._renew_at = 0.0
        return True

    def _renew(self) -> None:
        self._access = self._exchange(self._token)
        # A token that lives shorter than the margin is used for half its life rather than renewed for each request.
        life = lifetime_s(self._access)
        self._renew_at = time.monotonic() + max(life - RENEW_BEFORE_S, life / 2)

    def __repr__(self) -> str:
        return f"Credential({self.kind})"


def _claims(token: str) -> dict[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:
        return {}
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (binascii.Error, ValueError):
        return {}
    return claims if isinstance(claims, dict) else {}
