"""Pointers: which version serves a project, and the tokens that keep stale trainings from moving one.

    MODEL_DIR/refs/<name>.json     the champion of a project, or of `default`: {epoch, version, previous, fence, at, by}
    MODEL_DIR/fences/<project>     the newest fencing token that a training of this project took

Reading takes no lock: a pointer is replaced whole. Writing is the store's business, which holds the lock.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from model.durable import replace

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class StoreError(RuntimeError):
    """The store refuses: says what was asked, what it holds, and what would be accepted."""


class Moved(StoreError):
    """The pointer moved since its epoch was read: compare with the new champion and decide anew."""


class StaleTrainer(StoreError):
    """A newer fencing token was taken: another training began, or a person stepped in, so this one must not promote."""


@dataclass(frozen=True)
class Champion:
    """Who serves. `epoch` counts the pointer's moves; `fence` is the highest token that moved it."""

    version: str
    epoch: int
    previous: str | None
    fence: int
    at: str
    by: str


class Pointers:
    """The files of MODEL_DIR that say who serves."""

    def __init__(self, model_dir: Path) -> None:
        self.root = model_dir

    def names(self) -> list[str]:
        return sorted(path.stem for path in (self.root / "refs").glob("*.json") if NAME.fullmatch(path.stem))

    def read(self, name: str) -> Champion | None:
        """The champion of this name, None without one. Raises StoreError when its file cannot be read."""
        path = self._file(name)
        try:
            return Champion(**json.loads(path.read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StoreError(
                f"{path} is not a champion pointer ({error}); remove it, then promote a version anew"
            ) from error

    def write(self, name: str, champion: Champion) -> None:
        """Replace the pointer. Call it under the lock. Raises OSError."""
        replace(self._file(name), json.dumps(asdict(champion)) + "\n")

    def newest_fence(self, name: str) -> int:
        """The highest token that was taken or that moved the pointer; 0 before the first. Raises StoreError."""
        own = self.read(name)
        path = self._fence_file(name)
        try:
            taken = int(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            taken = 0
        except (OSError, ValueError) as error:
            raise StoreError(
                f"{path} is not a fencing token ({error}); stop every training of {name!r}, then remove it"
            ) from error
        return max(taken, own.fence if own else 0)

    def write_fence(self, name: str, fence: int) -> None:
        """Replace the newest token. Call it under the lock. Raises OSError."""
        replace(self._fence_file(name), f"{fence}\n")

    def _file(self, name: str) -> Path:
        return self.root / "refs" / f"{checked(name)}.json"

    def _fence_file(self, name: str) -> Path:
        return self.root / "fences" / checked(name)


def checked(name: str) -> str:
    """Versions and projects become file names: nothing else may."""
    if not NAME.fullmatch(name):
        raise StoreError(f"{name!r} is no name for a version or project: letters, digits, '.', '_' and '-', 64 at most")
    return name
