"""Marks: hints that a project has new or corrected captions. Never the truth, which is what Label Studio exports.

A mark is first a small file in a spool folder (trainer.spool), because that cannot wait for a network; a courier thread
carries the files to the board in the queue server (trainer.board). While that server is down they stay in the spool,
also over a restart. Delivery is at least once: a crash may count a mark twice, which a hint can bear.
"""

import fcntl
import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

import redis

from trainer.board import Board, Mark
from trainer.spool import SEEN, START_TRAINING, UNKNOWN_PROJECT, Hint, read_hint, waiting_files, write_hint

__all__ = ["SEEN", "START_TRAINING", "UNKNOWN_PROJECT", "Hint", "Mark", "Marks", "write_hint"]

log = logging.getLogger(__name__)

BATCH = 500
RETRY_S = 1.0
LONGEST_RETRY_S = 15.0
# A queue server that lost its data should hear of a project again, but not with every request about it.
KNOW_AGAIN_S = 600.0


class Marks:
    """Raise marks in well under a millisecond; carry them to the queue server in the background."""

    def __init__(self, redis_url: str, spool: Path, *, revive: Callable[[], None] = lambda: None) -> None:
        """`revive` is called before each delivery, and now and then: it may start a server of ours that died."""
        self._spool = spool
        self._revive = revive
        self._client = redis.Redis.from_url(
            redis_url, decode_responses=True, socket_timeout=5.0, socket_connect_timeout=2.0
        )
        self._board = Board(self._client)
        self._unwritten: list[Hint] = []
        self._known: dict[int, float] = {}
        self._wake = threading.Event()
        self._closing = False
        self._reached = True
        spool.mkdir(parents=True, exist_ok=True)
        self._courier = threading.Thread(target=self._carry, name="marks", daemon=True)
        self._courier.start()

    def raise_mark(self, project: int, action: str, *, captions: int = 1) -> None:
        """Leave a mark. Never raises and never waits for the queue server; a full disk keeps it in memory.

        `captions`: how many captions were created, changed or deleted; 0 for a request to train.
        """
        hint = Hint(project, action, captions, time.time())
        try:
            write_hint(self._spool, hint)
        except OSError as error:
            log.warning("mark kept in memory: the spool folder %s cannot be written: %s", self._spool, error.strerror)
            self._unwritten.append(hint)
        self._wake.set()

    def know(self, project: int) -> None:
        """Tell the trainer that a project exists, so that it looks there now and then. As cheap as raise_mark, and
        cheaper when said again."""
        now = time.monotonic()
        if project > UNKNOWN_PROJECT and now >= self._known.get(project, now):
            self._known[project] = now + KNOW_AGAIN_S
            self.raise_mark(project, SEEN, captions=0)

    def pending(self) -> list[Mark]:
        """What the queue server holds, one Mark a project. Raises redis.RedisError when it is down."""
        return self._board.pending()

    def take(self, project: int) -> Mark | None:
        """Board.take: the mark of a project, removed as it is read. Raises redis.RedisError."""
        return self._board.take(project)

    def projects(self) -> list[int]:
        """Every project that the queue server knows of. Raises redis.RedisError."""
        return self._board.projects()

    def waiting(self) -> int:
        """How many marks are not delivered yet."""
        return len(waiting_files(self._spool)) + len(self._unwritten)

    def flush(self, timeout_s: float) -> bool:
        """Wait until every mark is delivered; False if some still wait after `timeout_s` seconds."""
        deadline = time.monotonic() + timeout_s
        self._wake.set()
        while self.waiting() and time.monotonic() < deadline:
            time.sleep(0.002)
        return not self.waiting()

    def close(self) -> None:
        """Stop the courier after one last try. What is not delivered stays in the spool for the next start."""
        self._closing = True
        self._wake.set()
        self._courier.join(timeout=10.0)
        self._client.close()

    def _carry(self) -> None:
        """The courier: deliver when woken, and look now and then for marks that another process left in the spool.

        While the server is down it tries again after a growing pause.
        """
        pause = RETRY_S
        while True:
            self._wake.clear()
            if not self._closing:
                self._keep_server()
            delivered = self._deliver()
            if self._closing:
                return
            self._wake.wait(LONGEST_RETRY_S if delivered else pause)
            pause = RETRY_S if delivered else min(pause * 2, LONGEST_RETRY_S)

    def _keep_server(self) -> None:
        try:
            self._revive()
        except Exception as error:  # whatever it is, marks must go on being taken
            log.warning("%s", error)

    def _deliver(self) -> bool:
        """Carry all that waits. False if some of it has to wait longer."""
        try:
            with (self._spool / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._carry_memory()
                while files := waiting_files(self._spool)[:BATCH]:
                    self._board.deliver(hint for file in files if (hint := read_hint(file)) is not None)
                    for file in files:
                        file.unlink(missing_ok=True)
        except (redis.RedisError, OSError) as error:
            if self._reached:
                kind = type(error).__name__
                log.warning("the queue server is out of reach (%s): marks wait in %s", kind, self._spool)
            self._reached = False
            return False
        if not self._reached:
            log.info("the queue server is back: all marks are delivered")
        self._reached = True
        return True

    def _carry_memory(self) -> None:
        hints = self._unwritten[:]
        if hints:
            self._board.deliver(hints)
            del self._unwritten[: len(hints)]
