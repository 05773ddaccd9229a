"""Conversions that several tests look at, made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint
from model.engines.converting import convert
from model.engines.engine import INT8
from tests.model.engines.certain import certain_checkpoint


@pytest.fixture(scope="package")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint folder. Not to be written to."""
    return certain_checkpoint(tmp_path_factory.mktemp("checkpoint") / "certain")


@pytest.fixture(scope="package")
def checkpoint(folder: Path) -> Checkpoint:
    return checkpoints.load(folder)


@pytest.fixture(scope="package")
def converted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Entries with this checkpoint converted for each runtime. Not to be written to."""
    entries = tmp_path_factory.mktemp("engines")
    for runtime in INT8:
        convert(folder, entries, runtime)
    return entries
