"""Which of a project's photos are kept apart as its own validation set.

The photo's content decides, by a hash: no list is kept, the same photo is on the same side in every run and on every
machine, and a photo labelled twice is not on both. A larger share keeps apart what the smaller one did and more; a
smaller one gives photos back to training, and what was measured on them before is no yardstick any more.
"""

from __future__ import annotations

import hashlib

PLACES = 2**64


def held_out(key: str, share: float) -> bool:
    """Whether the photo with this content key is kept apart."""
    return place(key) < share


def place(key: str) -> float:
    """Where a photo stands in [0, 1), evenly spread. Hashed anew, so that it has to do with nothing else."""
    digest = hashlib.sha256(f"holdout {key}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / PLACES
