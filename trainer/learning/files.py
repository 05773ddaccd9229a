"""Small JSON files, put in place whole: a reader, or a run that resumes, never meets half of one.

Only the holder of the project's training lock writes them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from model.durable import replace

Row = dict[str, Any]


def write_json(path: Path, content: Row) -> None:
    """Replace `path` in one move, safe from a power cut."""
    replace(path, json.dumps(content, ensure_ascii=False, indent=1) + "\n")


def read_json(path: Path) -> Row | None:
    """The object in `path`; None while there is no such file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    assert isinstance(content, dict)
    return content


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Replace `path` with one JSON object a line."""
    replace(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


def read_rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def append_row(path: Path, row: Row) -> None:
    """Add a line; not synced, so a power cut may cost the last ones."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def read_log(path: Path) -> list[Row]:
    """What `append_row` wrote, less a last line that was cut off."""
    rows: list[Row] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return rows
