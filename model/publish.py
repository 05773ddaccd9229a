"""Bring a checkpoint into the folder of versions: whole, or not at all.

Its files are staged in a hidden folder beside their place, checked, synced, and renamed into it at once. A process that
dies leaves a stage behind, which the next publisher sweeps: the lock on a stage tells whether its process lives.
A file that an older version has already, byte for byte, is linked and not copied: most updates leave the encoder alone.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from model.checkpoint import FILES, CheckpointError, check_files, read_json, sha256, write_json
from model.durable import claim, locked, sync


def publish(checkpoint: Path, manifest: dict[str, Any], final: Path) -> None:
    """Copy the checkpoint that `manifest` describes to `final`. Publishing it twice is harmless.

    Raises CheckpointError when the folder is not that checkpoint, whole; OSError when the disk is full or read-only.
    """
    check_files(checkpoint, manifest)
    with staged(final) as stage:
        if not final.is_dir():
            fill(stage, checkpoint, manifest)
            settle(stage, final)
    sync(final.parent)  # also for a version that is there: who renamed it may have died before this


@contextmanager
def staged(final: Path) -> Iterator[Path]:
    """A new stage for `final`, held while it is filled; what dead processes left is swept before."""
    versions = final.parent
    stage = stage_for(final)
    with locked(versions / ".lock"):
        sweep(versions)
        stage.mkdir()
        held = claim(stage)
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)  # gone already, unless this publication failed or came second
        if held is not None:
            os.close(held)


def stage_for(final: Path) -> Path:
    """A name beside `final` that nobody has, and that `sweep` knows."""
    return final.with_name(f".{final.name}.{uuid.uuid4().hex}.stage")


def sweep(versions: Path) -> None:
    """Remove the stages that no living process holds. Call it under the lock: a new stage is not held at once."""
    for stage in versions.glob(".*.stage"):
        try:
            held = claim(stage)
        except OSError:  # its process renamed it meanwhile, or it is another user's
            continue
        if held is not None:
            shutil.rmtree(stage, ignore_errors=True)
            os.close(held)


def fill(stage: Path, checkpoint: Path, manifest: dict[str, Any]) -> None:
    older = sorted(stage.parent.glob("[!.]*/manifest.json"))
    manifests = {path.parent: found for path in older if (found := _read(path)) is not None}
    for name in FILES:
        if not any(link(folder, name, manifest, stage) for folder in _holders(manifests, manifest, name)):
            shutil.copyfile(checkpoint / name, stage / name)
        sync(stage / name)
    write_json(stage / "manifest.json", manifest)
    sync(stage / "manifest.json")
    check_files(stage, manifest)  # somebody may have written to the checkpoint while it was copied
    sync(stage)


def link(folder: Path, name: str, manifest: dict[str, Any], stage: Path) -> bool:
    """Link a file of another version into the stage if it is still what was published; False where that fails."""
    try:
        if sha256(folder / name) != manifest["files"][name]["sha256"]:
            return False  # damaged since: one version's damage must not become another's
        os.link(folder / name, stage / name)
    except OSError:  # no links on this file system, too many, or to another user's files
        return False
    return True


def settle(stage: Path, final: Path) -> None:
    try:
        stage.rename(final)
    except OSError:
        # Another process published the same content first: a version is its content, so theirs is ours.
        if not final.is_dir():
            raise


def remove(final: Path) -> None:
    """Take a version away, whole: what a process leaves that dies here is a stage, which the next publisher sweeps."""
    gone = stage_for(final)
    final.rename(gone)
    sync(final.parent)
    shutil.rmtree(gone, ignore_errors=True)


def _holders(manifests: dict[Path, dict[str, Any]], manifest: dict[str, Any], name: str) -> list[Path]:
    """The versions whose manifests state this very file."""
    wanted = manifest["files"][name]
    return [folder for folder, found in manifests.items() if found.get("files", {}).get(name) == wanted]


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return read_json(path)
    except CheckpointError:
        return None
