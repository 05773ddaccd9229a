"""What happened to the versions of a store: one JSON object a line, oldest first, only ever appended.

    {"event", "project", "reason", "version", "epoch", "previous", "fence", "at", "by", and the event's own figures}

A power cut may tear the last line. Whoever reads skips it; whoever appends starts a new line behind it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from model.durable import sync

# The events that move a pointer: each move has one line.
MOVES = ("promotion", "rollback")
MENDED = "recorded after a crash"

Line = dict[str, Any]


def compose(event: str, project: str, reason: str, state: Mapping[str, Any], figures: Mapping[str, Any] | None) -> Line:
    """A line of the history. `state` is the pointer, as {version, epoch, previous, fence, at, by}.

    Raises ValueError where figures would hide a fact of the line, TypeError where they do not fit into JSON.
    """
    line: Line = {"event": event, "project": project, "reason": reason, **state}
    if hidden := sorted(line.keys() & (figures or {}).keys()):
        raise ValueError(f"figures may not be named {', '.join(hidden)}: the line of the history has its own")
    line |= figures or {}
    json.dumps(line)
    return line


def append(path: Path, line: Line) -> None:
    """Add one line and sync it. One process at a time. Raises OSError, and TypeError for what JSON cannot hold."""
    text = json.dumps(line).encode() + b"\n"
    new = not path.exists()
    with path.open("a+b") as file:
        file.write(text if _at_line_start(file) else b"\n" + text)
        file.flush()
        os.fsync(file.fileno())
    if new:
        sync(path.parent)


def read(path: Path, project: str | None = None) -> list[Line]:
    """The readable lines, of one project or of all; none where there is no file yet. Raises OSError."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return []
    lines = [line for text in raw.split(b"\n") if (line := _parse(text)) is not None]
    return [line for line in lines if project in (None, line.get("project"))]


def tells(lines: list[Line], project: str, state: Mapping[str, Any]) -> bool:
    """Whether the move that led to this pointer has its line."""
    wanted = (project, state["version"], state["epoch"], state["fence"])
    facts = ("project", "version", "epoch", "fence")
    return any(tuple(map(line.get, facts)) == wanted for line in lines if line.get("event") in MOVES)


def _at_line_start(file: IO[bytes]) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def _parse(text: bytes) -> Line | None:
    try:
        line = json.loads(text)
    except ValueError:  # an empty line, a torn one, or one torn within a letter
        return None
    return line if isinstance(line, dict) else None
