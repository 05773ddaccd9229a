"""Converted models on disk, kept beside the versions that they were made from.

    CACHE/encoder-<sha256>-<converter>/            of an encoder's file: every version that has it shares the entry
    CACHE/decoder-<sha256>-<sha256>-<converter>/   of a pair of encoder and decoder
        about.json                                 the sha256 of every other file

An entry is complete or it is not there: it is staged, synced and renamed, as versions are. It holds nothing that could
not be made again, so a damaged one is thrown away.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from model.checkpoint import CheckpointError, read_json, sha256, write_json
from model.durable import sync
from model.publish import settle, staged

# Where they are kept in a store, beside the versions.
FOLDER = "engines"
ABOUT = "about.json"
DIGITS = 16


class Entries:
    """The entries in one folder. Several processes may use it at once. `digest` may remember what it read."""

    def __init__(self, folder: Path, converter: str, digest: Callable[[Path], str] = sha256) -> None:
        self.folder = folder
        self._converter = converter
        self._digest = digest

    def name(self, kind: str, *digests: str) -> str:
        return "-".join([kind, *(digest[:DIGITS] for digest in digests), self._converter])

    def find(self, name: str) -> tuple[Path, dict[str, Any]] | None:
        """An entry's folder and what its `about.json` says; None where there is none that is whole."""
        path = self.folder / name
        try:
            about = read_json(path / ABOUT)
            if all(self._digest(path / file) == stated for file, stated in about["files"].items()):
                return path, about
        except (CheckpointError, OSError, LookupError, TypeError, AttributeError):
            pass
        shutil.rmtree(path, ignore_errors=True)
        return None

    def add(self, name: str, files: Mapping[str, bytes], facts: Mapping[str, Any]) -> Path:
        """Write an entry. Another process may have done so first: then theirs stays. Raises OSError."""
        path = self.folder / name
        about = {"files": {file: hashlib.sha256(data).hexdigest() for file, data in files.items()}, **facts}
        with staged(path) as stage:
            for file, data in files.items():
                (stage / file).write_bytes(data)
                sync(stage / file)
            write_json(stage / ABOUT, about)
            sync(stage / ABOUT)
            sync(stage)
            if not path.is_dir():
                settle(stage, path)
        sync(self.folder)
        return path
