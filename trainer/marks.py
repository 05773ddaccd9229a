"""Marks: hints that a project has new or corrected captions. Never the truth, which is what Label Studio exports.

A mark is first a small file in a spool folder, because writing one takes a tenth of a millisecond and cannot wait for
a network; a courier thread carries the files to the queue server. While that server is down they stay in the spool,
also over a restart. Delivery is at least once: a crash may count a mark twice, which a hint can bear.

In the queue server: the set `recaption:marked` of project numbers, and for each a hash `recaption:marks:<project>` of
`pending` (captions created, changed or deleted), `first`, `last` (seconds since 1970), `action` (the last one) and
`asked` (when a person last asked for a training).
"""

import fcntl
import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import redis

log = logging.getLogger(__name__)

START_TRAINING = "START_TRAINING"
# A payload that does not say which project it is about: some project has something new.
UNKNOWN_PROJECT = 0
MARKED = "recaption:marked"
BATCH = 500
RETRY_S = 1.0
LONGEST_RETRY_S = 15.0


@dataclass(frozen=True)
class Hint:
    """One event, on its way to the queue server."""

    project: int
    action: str
    captions: int
    at: float


@dataclass(frozen=True)
class Mark:
    """What has gathered for one project. Times are seconds since 1970."""

    project: int
    pending: int
    first: float
    last: float
    action: str
    asked: float | None


class Marks:
    """Raise marks in well under a millisecond; carry them to the queue server in the background."""

    def __init__(self, redis_url: str, spool: Path) -> None:
        self._spool = spool
        self._client = redis.Redis.from_url(
            redis_url, decode_responses=True, socket_timeout=5.0, socket_connect_timeout=2.0
        )
        self._unwritten: list[Hint] = []
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

    def pending(self) -> list[Mark]:
        """What the queue server holds, one Mark a project. Raises redis.RedisError when it is down."""
        numbers = sorted(int(str(number)) for number in _set(self._client.smembers(MARKED)))
        return [mark for number in numbers if (mark := self._mark(number)) is not None]

    def waiting(self) -> int:
        """How many marks are not delivered yet."""
        return len(_files(self._spool)) + len(self._unwritten)

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

    def _mark(self, project: int) -> Mark | None:
        fields = self._client.hgetall(_key(project))
        if not isinstance(fields, dict) or not fields:
            return None
        asked = fields.get("asked")
        return Mark(
            project=project,
            pending=int(fields["pending"]),
            first=float(fields["first"]),
            last=float(fields["last"]),
            action=str(fields["action"]),
            asked=float(asked) if asked else None,
        )

    def _carry(self) -> None:
        """The courier: deliver when woken, and look now and then for marks that another process left in the spool.

        While the server is down it tries again after a growing pause.
        """
        pause = RETRY_S
        while True:
            self._wake.clear()
            delivered = self._deliver()
            if self._closing:
                return
            self._wake.wait(LONGEST_RETRY_S if delivered else pause)
            pause = RETRY_S if delivered else min(pause * 2, LONGEST_RETRY_S)

    def _deliver(self) -> bool:
        """Carry all that waits. False if some of it has to wait longer."""
        try:
            with (self._spool / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                self._carry_memory()
                while files := _files(self._spool)[:BATCH]:
                    self._send(hint for file in files if (hint := _read(file)) is not None)
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
            self._send(hints)
            del self._unwritten[: len(hints)]

    def _send(self, hints: Iterable[Hint]) -> None:
        pipeline = self._client.pipeline(transaction=True)
        for hint in hints:
            key = _key(hint.project)
            pipeline.sadd(MARKED, hint.project)
            pipeline.hincrby(key, "pending", hint.captions)
            pipeline.hsetnx(key, "first", str(hint.at))
            pipeline.hset(key, mapping={"last": str(hint.at), "action": hint.action})
            if hint.action == START_TRAINING:
                pipeline.hset(key, "asked", str(hint.at))
        pipeline.execute()


def write_hint(spool: Path, hint: Hint) -> None:
    """Put a hint into the spool, whole or not at all; names sort by time. Raises OSError."""
    spool.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns():020d}-{uuid.uuid4().hex}"
    draft = spool / f"{name}.draft"
    draft.write_text(json.dumps(asdict(hint)))
    os.replace(draft, spool / f"{name}.json")


def _read(file: Path) -> Hint | None:
    """A hint from its file; None, said in the log, for a file that a power cut left torn."""
    try:
        return Hint(**json.loads(file.read_bytes()))
    except (ValueError, TypeError):
        log.warning("dropped a torn mark: %s", file.name)
        return None


def _files(spool: Path) -> list[Path]:
    return sorted(spool.glob("*.json"))


def _key(project: int) -> str:
    return f"recaption:marks:{project}"


def _set(reply: object) -> set[object]:
    assert isinstance(reply, set)
    return reply
