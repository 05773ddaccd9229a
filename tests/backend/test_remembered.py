"""Captions that were written already: found by all that they depend on, and not kept for ever."""

from __future__ import annotations

import numpy as np

from backend.remembered import Key, Remembered
from model.captioner import Caption


def caption(text: str) -> Caption:
    return Caption(text, 0.5, (), np.zeros(1, np.float32))


def test_what_was_not_asked_for_longest_is_forgotten() -> None:
    remembered = Remembered(most=2)
    first, second, third = (Key(name, "v1", 3) for name in (b"first", b"second", b"third"))
    remembered.put(first, caption("one"))
    remembered.put(second, caption("two"))
    assert remembered.get(first) == caption("one")
    remembered.put(third, caption("three"))
    assert remembered.get(second) is None
    assert (remembered.get(first), remembered.get(third)) == (caption("one"), caption("three"))
    assert len(remembered) == 2


def test_another_picture_version_or_width_is_another_caption() -> None:
    remembered = Remembered()
    remembered.put(Key(b"a", "v1", 3), caption("one"))
    assert remembered.get(Key(b"b", "v1", 3)) is None
    assert remembered.get(Key(b"a", "v2", 3)) is None
    assert remembered.get(Key(b"a", "v1", 5)) is None
