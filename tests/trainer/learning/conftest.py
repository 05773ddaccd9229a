from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checkpoints import squares_checkpoint
from tests.labeling.servers import serving
from tests.photos import flickr8k_folder
from tests.trainer.learning.world import StandIn, World


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The base data set: 24 drawn squares to replay, of which 12 are the 12 to judge by under other names."""
    return flickr8k_folder(tmp_path_factory.mktemp("base") / "squares", train=24, dev=12)


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares_checkpoint(tmp_path_factory.mktemp("untrained") / "c", 8, embedding=32, hidden=48, dropout=0.1)


@pytest.fixture
def studio() -> StandIn:
    return StandIn()


@pytest.fixture
def world(tmp_path: Path, studio: StandIn, squares: Path, untrained: Path) -> Iterator[World]:
    with serving(studio.answer) as server:
        yield World(tmp_path, untrained, server, studio, squares)
