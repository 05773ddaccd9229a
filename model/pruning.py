"""What of a store nobody needs any more: versions that no pointer leads to, and converted models of no version.

Needed is what a pointer names, what it would be rolled back to, and what is young: a training publishes its version,
and converts it, before a pointer moves.
"""

from __future__ import annotations

import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from model.checkpoint import read_json
from model.engines.entries import DIGITS, FOLDER
from model.store import Store

DAY_S = 86_400.0
ENTRY = re.compile(rf"(?:encoder|decoder)((?:-[0-9a-f]{{{DIGITS}}})+)-")


@dataclass(frozen=True)
class Spare:
    """`versions` by name, oldest first; `converted`: folders; `size`: the bytes that removing both would free."""

    versions: list[str]
    converted: list[Path]
    size: int


def spare(store: Store, older_than_s: float) -> Spare:
    """What nobody needs and nobody has touched for so long. Raises StoreError when a pointer cannot be read."""
    named = {version for ref in store.refs().values() for version in (ref.version, ref.previous)}
    old = [v for v in store.versions() if v not in named and age(store.folder(v)) > older_than_s]
    kept = {digest for version in store.versions() if version not in old for digest in digests(store.folder(version))}
    entries = store.root / FOLDER
    found = sorted(entries.iterdir()) if entries.is_dir() else []
    converted = [path for path in found if orphan(path, kept) and age(path) > older_than_s]
    return Spare(old, converted, freed([*map(store.folder, old), *converted]))


def prune(store: Store, found: Spare) -> None:
    """Remove it. Raises StoreError when a pointer has come to name one of the versions meanwhile."""
    for version in found.versions:
        store.remove(version)
    for path in found.converted:
        shutil.rmtree(path)


def orphan(entry: Path, kept: set[str]) -> bool:
    """Whether it was converted from files that none of the kept versions has."""
    name = ENTRY.match(entry.name)
    return name is not None and not set(name[1].strip("-").split("-")) <= kept


def digests(folder: Path) -> set[str]:
    """The digests of a version's files, as the names of what was converted from them have it."""
    return {str(facts["sha256"])[:DIGITS] for facts in read_json(folder / "manifest.json")["files"].values()}


def age(path: Path) -> float:
    return time.time() - path.stat().st_mtime


def freed(folders: Iterable[Path]) -> int:
    """Bytes on disk: a file that another folder has, too, stays."""
    files = [path.stat() for folder in folders for path in folder.rglob("*") if path.is_file()]
    links = Counter(file.st_ino for file in files)
    sizes = {file.st_ino: file.st_size for file in files if links[file.st_ino] == file.st_nlink}
    return sum(sizes.values())
