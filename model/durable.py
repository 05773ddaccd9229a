"""Files that survive a power cut, and one writer at a time: what the store's promises rest on.

`flock` holds between processes of one machine, containers that share a folder included. On NFS it depends on the
server, the client and the mount options, and may hold for nobody: keep a store that several machines write elsewhere.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def sync(path: Path) -> None:
    """Make a file, or a folder's list of names, survive a power cut. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, each synced into the one that holds it. Raises OSError."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        sync(folder.parent)


def replace(path: Path, text: str) -> None:
    """Write a small file so that a reader finds the old text or the new one, whole. Raises OSError.

    Its stage has one name, so call it under a lock; what a killed writer left there, the next one overwrites.
    """
    make_folder(path.parent)
    stage = path.with_name(f".{path.name}.stage")
    stage.write_text(text, encoding="utf-8")
    sync(stage)
    os.replace(stage, path)
    sync(path.parent)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait for the lock file `path` and hold it; the kernel lets go of the lock of a process that dies."""
    make_folder(path.parent)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def claim(folder: Path) -> int | None:
    """A descriptor that holds the lock of a folder until it is closed; None while another process holds it.

    Unlike a process number in a name, it cannot be mistaken: neither by a number used again nor by another container.
    """
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor
