"""Which photos are of the new kind, and which rows a part of the corpus has."""

from __future__ import annotations

from pathlib import Path

import pytest

from model.datasets import Example
from proof.shift import kind


@pytest.mark.parametrize(
    ("captions", "expected"),
    [
        (["a dog in the snow", "a dog runs through snow"], "new"),
        (["a dog in the snow", "a dog runs"], None),
        (["a dog runs", "a waterfall"], "old"),
        (["A boy jumps into Water.", "a swimming pool"], "new"),
    ],
)
def test_two_captions_decide_on_the_kind(captions: list[str], expected: str | None) -> None:
    assert kind(Example("x.jpg", Path("x.jpg"), tuple(captions))) == expected
