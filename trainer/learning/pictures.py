"""The pictures of corrections: fetched by their addresses, kept on the shelf by their content.

An address book remembers which content an address led to, so that a run which was killed fetches nothing twice, and an
upload of Label Studio, which never changes, is fetched once and for all. Other addresses may lead to another picture
next week: those are asked anew by every run. The book holds digests, no addresses: some carry a secret.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Protocol
from urllib.parse import urlsplit

from labeling.images import ImageFetcher, ImageFetchError
from labeling.session import LabelStudio
from model.preprocess import ImageError
from model.shelf import Shelf
from settings import Settings
from trainer.learning.files import append_row, read_log

WORKERS = 4


class Fetcher(Protocol):
    def fetch(self, uri: str, *, task_id: int | None) -> bytes: ...


@dataclass
class Found:
    """`keys` by address; `failed` counts the addresses without a picture by reason, `example` is one of them."""

    keys: dict[str, str] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)
    example: str = ""


class Pictures:
    def __init__(self, fetcher: Fetcher, shelf: Shelf, book: Path, *, studio: str, run: str, max_pixels: int) -> None:
        """`book` is the address book's file; `studio` tells one Label Studio's addresses from another's."""
        self._fetcher, self._shelf, self._max_pixels = fetcher, shelf, max_pixels
        self._book, self._studio, self._run = book, studio, run
        self._writing = Lock()

    def find(self, addresses: Mapping[str, int], advance: Callable[[int], None] = lambda count: None) -> Found:
        """Put the pictures of these addresses on the shelf. `addresses`: each with a task that it belongs to."""
        found = Found(keys=self._remembered(addresses))
        advance(len(found.keys))
        todo = {uri: task for uri, task in addresses.items() if uri not in found.keys}
        self._book.parent.mkdir(parents=True, exist_ok=True)
        workers = ThreadPoolExecutor(WORKERS, thread_name_prefix="picture")
        try:
            jobs = {workers.submit(self._take, uri, task): uri for uri, task in todo.items()}
            for job in as_completed(jobs):
                self._note(jobs[job], job.result, found)
                advance(1)
        finally:
            workers.shutdown(cancel_futures=True)
        return found

    def _take(self, uri: str, task: int) -> str:
        """Noted at once, by who fetched it: a kill costs no more than what each worker has in hand."""
        key = self._shelf.add(self._fetcher.fetch(uri, task_id=task), max_pixels=self._max_pixels)
        with self._writing:
            append_row(self._book, {"address": self._digest(uri), "key": key, "run": self._run})
        return key

    def _note(self, uri: str, result: Callable[[], str], found: Found) -> None:
        try:
            found.keys[uri] = result()
        except ImageFetchError as error:
            found.failed["not fetched"] += 1
            found.example = found.example or str(error)
        except ImageError as error:
            found.failed["not decoded"] += 1
            found.example = found.example or str(error)

    def _remembered(self, addresses: Mapping[str, int]) -> dict[str, str]:
        book = {row["address"]: row for row in read_log(self._book)}
        known = {}
        for uri in addresses:
            row = book.get(self._digest(uri))
            if row and (never_changes(uri) or row["run"] == self._run) and self._shelf.has(row["key"]):
                known[uri] = str(row["key"])
        return known

    def _digest(self, uri: str) -> str:
        return hashlib.sha256(f"{self._studio} {uri}".encode()).hexdigest()


def pictures_of(settings: Settings, studio: LabelStudio, shelf: Shelf, project: str, run: str) -> Pictures:
    """Those of a project in Label Studio, as the settings have it. Raises ValueError for an unusable allowed host."""
    fetcher = ImageFetcher(
        studio,
        allowed_hosts=settings.image_allowed_hosts,
        timeout_s=settings.image_timeout_s,
        max_bytes=settings.image_max_bytes,
        local_files_root=settings.local_files_document_root,
    )
    book = settings.data_dir / "cache" / "addresses" / f"{project}.jsonl"
    return Pictures(fetcher, shelf, book, studio=studio.url, run=run, max_pixels=settings.max_image_pixels)


def never_changes(uri: str) -> bool:
    """Whether what is at this address stays what it is: an upload, which Label Studio names anew each time, or data."""
    try:
        return uri.startswith("data:") or "/data/upload/" in urlsplit(uri).path
    except ValueError:  # no address at all
        return False
