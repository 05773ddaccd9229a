"""How far a project's tasks have been captioned again, on disk: whoever goes on, after a stop or a crash, begins there.

DATA_DIR/prelabel/<project>.json    {"version": "recaption-0123456789", "after": 1200, "done": false}
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Bookmark:
    """All tasks up to `after` are done with this version; with `done`, all that there were."""

    version: str
    after: int = 0
    done: bool = False


def read(data_dir: Path, project: int) -> Bookmark | None:
    """The bookmark; None where there is none, or a torn one: then all is done once more, which harms nothing."""
    try:
        found = json.loads(_place(data_dir, project).read_bytes())
        return Bookmark(str(found["version"]), int(found["after"]), bool(found["done"]))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(data_dir: Path, project: int, mark: Bookmark) -> None:
    """Replace the bookmark, whole. Call it while holding the project's turn. Raises OSError."""
    place = _place(data_dir, project)
    place.parent.mkdir(parents=True, exist_ok=True)
    draft = place.with_suffix(".draft")
    draft.write_text(json.dumps(asdict(mark)) + "\n")
    os.replace(draft, place)


def _place(data_dir: Path, project: int) -> Path:
    return data_dir / "prelabel" / f"{project}.json"
