"""The embedded queue server: private, lasting, shared, adopted after a crash, with clear last words."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis

from trainer.valkey import LONGEST_SOCKET_PATH, EmbeddedValkey, ValkeyError

OWNER = """
import sys, time
from pathlib import Path
from trainer.valkey import EmbeddedValkey
print(EmbeddedValkey(Path(sys.argv[1])).start(), flush=True)
time.sleep(60)
"""


def client(url: str) -> redis.Redis:
    return redis.Redis.from_url(url, decode_responses=True)


def test_starts_private_and_keeps_its_data_over_a_restart(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "a folder with spaces")
    with client(server.start()) as queue:
        queue.set("kept", "yes")
        assert queue.config_get("port") == {"port": "0"}
    assert stat.S_IMODE(server.socket.stat().st_mode) == 0o700
    server.stop()
    assert not server.answers()
    server.stop()

    again = EmbeddedValkey(tmp_path / "a folder with spaces")
    with client(again.start()) as queue:
        assert queue.get("kept") == "yes"
    again.stop()


def test_a_server_that_is_killed_is_started_again_by_its_owner_alone(tmp_path: Path) -> None:
    owner, borrower = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    with client(owner.start()) as queue:
        queue.set("kept", "yes")
    borrower.start()
    before = int((tmp_path / "valkey.pid").read_text())
    owner.revive()
    assert int((tmp_path / "valkey.pid").read_text()) == before
    time.sleep(1.1)  # the append-only file is synced once a second
    os.kill(before, signal.SIGKILL)
    borrower.revive()
    assert not owner.answers()
    owner.revive()
    with client(owner.url) as queue:
        assert queue.get("kept") == "yes"
    owner.stop()


def test_a_second_process_borrows_the_server_and_does_not_stop_it(tmp_path: Path) -> None:
    owner, borrower = EmbeddedValkey(tmp_path), EmbeddedValkey(tmp_path)
    assert owner.start() == borrower.start()
    borrower.stop()
    assert owner.answers()
    owner.stop()
    assert not owner.answers()


def test_a_server_whose_owner_was_killed_is_adopted(tmp_path: Path) -> None:
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with owner:
        assert owner.stdout is not None
        url = owner.stdout.readline().strip()
        with client(url) as queue:
            queue.set("kept", "yes")
        os.kill(owner.pid, signal.SIGKILL)
    heir = EmbeddedValkey(tmp_path)
    assert heir.answers()
    with client(heir.start()) as queue:
        assert queue.get("kept") == "yes"
    heir.stop()
    assert not heir.answers()


def test_the_server_itself_may_be_killed_and_loses_nothing_written_a_second_ago(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path)
    with client(server.start()) as queue:
        queue.config_set("appendfsync", "always")
        queue.set("kept", "yes")
    os.kill(int((tmp_path / "valkey.pid").read_text()), signal.SIGKILL)
    server.stop()
    with client(server.start()) as queue:
        assert queue.get("kept") == "yes"
    server.stop()


def test_a_path_too_long_for_a_socket_moves_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * LONGEST_SOCKET_PATH)
    server = EmbeddedValkey(deep)
    assert len(str(server.socket)) <= LONGEST_SOCKET_PATH
    with client(server.start()) as queue:
        assert queue.ping()
    assert stat.S_IMODE(server.socket.parent.stat().st_mode) == 0o700
    server.stop()
    assert (deep / "appendonlydir").is_dir()


def test_a_server_that_cannot_start_says_why_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "appendonlydir").write_text("a file where the server wants a folder")
    with pytest.raises(ValkeyError, match=r"did not start: .*REDIS_URL"):
        EmbeddedValkey(tmp_path).start()
