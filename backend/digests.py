"""The sha256 of files, remembered for as long as a file is the same: versions share their encoder's file by a hard
link, and 47 MB need not be read again for each of them."""

from __future__ import annotations

from pathlib import Path

MOST = 256


class Digests:
    """`digest(path)`, by device, inode, size and time of change."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, int, int, int], str] = {}

    def __call__(self, path: Path) -> str:
        from model.checkpoint import sha256

        found = path.stat()
        key = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
        if key not in self._known:
            while len(self._known) >= MOST:
                del self._known[next(iter(self._known))]
            self._known[key] = sha256(path)
        return self._known[key]
