"""The board: what the queue server holds about the projects.

`recaption:projects`         the set of all project numbers ever seen
`recaption:marked`           the set of those with marks, 0 for marks that do not say whose they are
`recaption:marks:<project>`  a hash: `pending` (captions created, changed or deleted), `first`, `last` (seconds since
                             1970), `action` (the last one), `asked` (when a person last asked for a training)

Every change is one transaction, so a mark is counted, taken or dropped whole.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import redis

from trainer.spool import SEEN, START_TRAINING, UNKNOWN_PROJECT, Hint

PROJECTS = "recaption:projects"
MARKED = "recaption:marked"
# KEYS[1] the mark, KEYS[2] the set of marked projects, ARGV[1] the time of its last hint, ARGV[2] its project.
DROP = """
if redis.call('HGET', KEYS[1], 'last') == ARGV[1] then
    redis.call('DEL', KEYS[1])
    redis.call('SREM', KEYS[2], ARGV[2])
end
"""


@dataclass(frozen=True)
class Mark:
    """What has gathered for one project. Times are seconds since 1970."""

    project: int
    pending: int
    first: float
    last: float
    action: str
    asked: float | None


class Board:
    """Reads and changes the board over any client, one that decodes answers or one that does not.

    Every method raises redis.RedisError when the queue server is down.
    """

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._drop = client.register_script(DROP)

    def deliver(self, hints: Iterable[Hint]) -> None:
        """Count hints, all of them or none."""
        pipeline = self._client.pipeline(transaction=True)
        for hint in hints:
            if hint.project != UNKNOWN_PROJECT:
                pipeline.sadd(PROJECTS, hint.project)
            if hint.action == SEEN:
                continue
            key = _key(hint.project)
            pipeline.sadd(MARKED, hint.project)
            pipeline.hincrby(key, "pending", hint.captions)
            pipeline.hsetnx(key, "first", str(hint.at))
            pipeline.hset(key, mapping={"last": str(hint.at), "action": hint.action})
            if hint.action == START_TRAINING:
                pipeline.hset(key, "asked", str(hint.at))
        pipeline.execute()

    def pending(self) -> list[Mark]:
        """All marks, one a project, by project number."""
        numbers = self._numbers(MARKED)
        pipeline = self._client.pipeline(transaction=False)
        for number in numbers:
            pipeline.hgetall(_key(number))
        found = zip(numbers, pipeline.execute(), strict=True)
        return [mark for number, fields in found if (mark := _mark(number, fields)) is not None]

    def take(self, project: int) -> Mark | None:
        """The mark of a project, removed from the board as it is read; None when there is none.

        What is marked later makes a mark of its own.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hgetall(_key(project))
        pipeline.delete(_key(project))
        pipeline.srem(MARKED, project)
        return _mark(project, pipeline.execute()[0])

    def drop(self, mark: Mark) -> None:
        """Remove a mark that turned out to tell of nothing; not if it was marked again meanwhile."""
        self._drop(keys=[_key(mark.project), MARKED], args=[str(mark.last), mark.project])

    def projects(self) -> list[int]:
        """The number of every project ever seen and not forgotten."""
        return self._numbers(PROJECTS)

    def forget(self, project: int) -> None:
        """A project that is gone: it is not known any more, and has no mark."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.srem(PROJECTS, project)
        pipeline.srem(MARKED, project)
        pipeline.delete(_key(project))
        pipeline.execute()

    def _numbers(self, key: str) -> list[int]:
        members = self._client.smembers(key)
        assert isinstance(members, set)
        return sorted(int(_text(member)) for member in members)


def _key(project: int) -> str:
    return f"recaption:marks:{project}"


def _mark(project: int, reply: dict[str | bytes, str | bytes]) -> Mark | None:
    fields = {_text(name): _text(value) for name, value in reply.items()}
    if not fields:
        return None
    asked = fields.get("asked")
    return Mark(
        project=project,
        pending=int(fields["pending"]),
        first=float(fields["first"]),
        last=float(fields["last"]),
        action=fields["action"],
        asked=float(asked) if asked else None,
    )


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
