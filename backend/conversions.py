"""Conversions to int8 that serving does not wait for: torch serves until they are done.

A version that nobody converted yet, as at the very first start or after a promotion by hand, would else be most of a
minute late. The trainer converts its versions before it promotes them.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from backend.niceness import be_nice

if TYPE_CHECKING:
    from model.store import Store

log = logging.getLogger(__name__)


class Conversions:
    """One after another, on threads that end with the process."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._turn = threading.Lock()
        self._outcomes: dict[str, str | None] = {}

    def outcome(self, version: str) -> str | None:
        """Begin if it has not begun: None while it is going on, then why it failed, or "" where it did not."""
        if version not in self._outcomes:
            self._outcomes[version] = None
            log.info("%s is being converted to int8; torch serves it until then", version)
            threading.Thread(target=self._convert, args=(version,), name="conversion", daemon=True).start()
        return self._outcomes[version]

    def _convert(self, version: str) -> None:
        from model.engines.preparing import convert_version

        be_nice()
        try:
            with self._turn:
                convert_version(self._store, version)
            self._outcomes[version] = ""
        except Exception as error:  # the store, the disk and the conversion fail in ways that share no base
            log.debug("%s was not converted", version, exc_info=True)
            self._outcomes[version] = str(error) or type(error).__name__
