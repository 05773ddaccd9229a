"""The spool: hints as small files on their way to the queue server.

Writing one takes a tenth of a millisecond and waits for no network. A file is there whole or not at all.
"""

import json
import logging
import os
import time
import uuid
from dataclasses import asdict, dataclass, replace
from pathlib import Path

log = logging.getLogger(__name__)

START_TRAINING = "START_TRAINING"
# Somebody works in this project: nothing new in it, but the trainer should know that it exists.
SEEN = "SEEN"
# A payload that does not say which project it is about: some project has something new.
UNKNOWN_PROJECT = 0


@dataclass(frozen=True)
class Hint:
    """One event, on its way to the queue server. `at` is in seconds since 1970."""

    project: int
    action: str
    captions: int
    at: float


def write_hint(spool: Path, hint: Hint) -> None:
    """Put a hint into the spool, whole or not at all; names sort by time. Raises OSError."""
    spool.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
    draft = spool / f"{name}.draft"
    draft.write_text(json.dumps(asdict(hint)))
    os.replace(draft, spool / f"{name}.json")


def read_hint(file: Path) -> Hint | None:
    """A hint from its file; None, said in the log, for a file that a power cut left torn, or that is no hint: one that
    cannot be delivered would hold up all behind it."""
    try:
        return _checked(Hint(**json.loads(file.read_bytes())))
    except (ValueError, TypeError):
        log.warning("dropped a torn mark: %s", file.name)
        return None


def waiting_files(spool: Path) -> list[Path]:
    """The hints in the spool, oldest first."""
    return sorted(spool.glob("*.json"))


def _checked(hint: Hint) -> Hint:
    numbers = (hint.project, hint.captions)
    if any(type(number) is not int for number in numbers) or not isinstance(hint.action, str):
        raise TypeError
    return replace(hint, at=float(hint.at))
