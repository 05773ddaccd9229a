"""Pictures for the model: fetched and decoded in a few threads of their own, beside the model and the event loop.

A picture that has been captioned is fetched, to be sure that it is the same, but not decoded.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

from backend.niceness import be_nice
from labeling.images import ImageFetcher
from model.preprocess import Pixels, read_pixels

if TYPE_CHECKING:
    from model.captioner import Caption

WORKERS = 4
# Their own, or an annotator's picture would wait behind a bulk's whose host is slow.
URGENT_WORKERS = 4

Known = Callable[[bytes], "Caption | None"]


class Found(NamedTuple):
    """The sha256 of a picture's bytes, and its pixels, uint8 (224, 224, 3), or the caption that it has already."""

    digest: bytes
    pixels: Pixels | None
    caption: Caption | None


class Photos:
    """`observe(seconds)` is told how long each picture took, from its address to its pixels."""

    def __init__(
        self, fetcher: ImageFetcher, *, max_pixels: int, observe: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._fetcher = fetcher
        self._max_pixels = max_pixels
        self._observe = observe
        self._bulk, self._urgent = (
            ThreadPoolExecutor(workers, thread_name_prefix="photo", initializer=be_nice)
            for workers in (WORKERS, URGENT_WORKERS)
        )

    def read(
        self, uri: str, *, task_id: int | None, urgent: bool = False, known: Known = lambda digest: None
    ) -> Future[Found]:
        """The picture in time; `known(digest)` may have its caption. The future raises ImageFetchError or
        ImageError."""
        pool = self._urgent if urgent else self._bulk
        return pool.submit(self._read, uri, task_id, known)

    def close(self) -> None:
        """Drop what has not begun."""
        for pool in (self._bulk, self._urgent):
            pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, uri: str, task_id: int | None, known: Known) -> Found:
        started = time.perf_counter()
        data = self._fetcher.fetch(uri, task_id=task_id)
        digest = hashlib.sha256(data).digest()
        caption = known(digest)
        pixels = None if caption else read_pixels(data, max_pixels=self._max_pixels)
        self._observe(time.perf_counter() - started)
        return Found(digest, pixels, caption)
