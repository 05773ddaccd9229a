"""Captions that were written already: the same picture, the same version and the same search give the same words.

Label Studio asks again for a task that is opened again, a bulk repeats what the background has done, and photos are
uploaded twice. Bounded: the captions that were not asked for longest are forgotten.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from model.captioner import Caption

# A caption with its pooled features takes 8 KB or so: 16 MB in all.
MOST = 2000


class Key(NamedTuple):
    """What a caption depends on: `digest` is the sha256 of the picture's bytes, `beam` the width of the search."""

    digest: bytes
    version: str
    beam: int


class Remembered:
    """Thread-safe: the threads that read pictures look here before they decode, the model's before it works."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._captions: OrderedDict[Key, Caption] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Key) -> Caption | None:
        with self._lock:
            caption = self._captions.get(key)
            if caption is not None:
                self._captions.move_to_end(key)
            return caption

    def put(self, key: Key, caption: Caption) -> None:
        with self._lock:
            self._captions[key] = caption
            self._captions.move_to_end(key)
            while len(self._captions) > self._most:
                self._captions.popitem(last=False)

    def __len__(self) -> int:
        return len(self._captions)
