from __future__ import annotations

from pathlib import Path

import pytest

from tests.checkpoints import tiny_checkpoint


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny but real checkpoint."""
    return tiny_checkpoint(tmp_path_factory.mktemp("bench") / "tiny")
