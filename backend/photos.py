"""Pictures for the model: fetched and decoded in a few threads of their own, beside the model and the event loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from backend.niceness import be_nice
from labeling.images import ImageFetcher
from model.preprocess import Photo, read_image

WORKERS = 4


class Photos:
    """`observe(seconds)` is told how long each picture took, from its address to its pixels."""

    def __init__(
        self, fetcher: ImageFetcher, *, max_pixels: int, observe: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._fetcher = fetcher
        self._max_pixels = max_pixels
        self._observe = observe
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="photo", initializer=be_nice)

    def read(self, uri: str, *, task_id: int | None) -> Future[Photo]:
        """Float32 (224, 224, 3) in time; the future raises ImageFetchError or ImageError."""
        return self._pool.submit(self._read, uri, task_id)

    def close(self) -> None:
        """Drop what has not begun."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _read(self, uri: str, task_id: int | None) -> Photo:
        started = time.perf_counter()
        photo = read_image(self._fetcher.fetch(uri, task_id=task_id), max_pixels=self._max_pixels)
        self._observe(time.perf_counter() - started)
        return photo
