"""The queue server that the worker uses: the one in REDIS_URL, else the embedded one in DATA_DIR."""

import logging
from types import TracebackType
from typing import Self

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry

from settings import Settings
from trainer.valkey import EmbeddedValkey, ValkeyError

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 5.0
# A command waits about a second for a server that restarts; who must wait longer does so with its eyes open.
RETRIES = 4


class QueueServer:
    """Makes sure of a server on entering; on leaving stops it, if it is embedded and nobody had started it before.

    Raises ValkeyError if the embedded one does not start, redis.RedisError if the other does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        self._embedded = EmbeddedValkey(settings.data_dir / "valkey") if settings.redis_url is None else None
        self.url = address(settings)

    def __enter__(self) -> Self:
        if self._embedded is not None:
            self._embedded.start()
        with connect(self.url) as client:
            client.ping()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._embedded is not None:
            self._embedded.stop()

    def revive(self) -> None:
        """Start the embedded server again if the process that had started it is gone. Never raises."""
        if self._embedded is not None:
            try:
                self._embedded.start()
            except (ValkeyError, OSError) as error:
                log.warning("%s", error)


def address(settings: Settings) -> str:
    """Where the queue server is, whether it runs or not."""
    if settings.redis_url is not None:
        return settings.redis_url.get_secret_value()
    return EmbeddedValkey(settings.data_dir / "valkey").url


def connect(url: str) -> redis.Redis:
    """A client that does not give up at once. Makes no connection yet."""
    retry = Retry(ExponentialBackoff(cap=0.5, base=0.05), RETRIES)
    return redis.Redis.from_url(url, socket_connect_timeout=CONNECT_TIMEOUT_S, retry=retry)
