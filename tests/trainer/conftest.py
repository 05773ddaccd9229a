"""A queue server for each test that asks for one, and a rig that must leave nothing behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.trainer.rig import Rig
from trainer.valkey import EmbeddedValkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
def client(server: EmbeddedValkey) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


@pytest.fixture
def rig(server: EmbeddedValkey, tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path, server)
    rig.plan()
    yield rig
    assert rig.close() == {}, "processes were left behind"
