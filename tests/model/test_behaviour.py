"""What counts as silence, a loop, a sentence that breaks off, a variety."""

from __future__ import annotations

import pytest

from model.behaviour import Behaviour, behaviour, loops


def test_captions_are_counted_by_what_is_wrong_with_them() -> None:
    captions = [
        "a dog runs through the grass",
        "A dog runs through the grass.",
        "",
        "a man in a shirt and a",
        "a man in a shirt and a shirt and a shirt",
    ]
    assert behaviour(captions) == Behaviour(
        images=5,
        empty=1,
        looping=1,
        dangling=1,
        unique=3,
        distinct_words=len("a dog runs through the grass man in shirt and".split()),
    )


@pytest.mark.parametrize(
    ("caption", "looping"),
    [
        ("a dog and a cat and a bird", False),
        ("a dog and a dog and a dog", True),
        ("in the snow in the grass", False),
        ("in the snow in the snow", True),
        ("the the the", False),
        ("", False),
    ],
)
def test_a_loop_is_a_word_thrice_or_three_words_twice(caption: str, looping: bool) -> None:
    assert loops(caption.split()) is looping


def test_no_captions_have_no_faults() -> None:
    assert behaviour([]) == Behaviour(0, 0, 0, 0, 0, 0)
