"""Word edits, against a slow and obvious definition."""

from __future__ import annotations

import random
from functools import cache

import pytest

from model.effort import effort, word_edits


@pytest.mark.parametrize(
    ("draft", "text", "edits"),
    [
        ("a dog runs", "a dog runs", 0),
        ("A dog runs.", "a dog runs", 0),
        ("a dog runs", "a brown dog runs", 1),
        ("a brown dog", "a dog", 1),
        ("a dog runs", "a cat runs", 1),
        ("", "a dog", 2),
        ("a dog", "", 2),
        ("", "", 0),
    ],
)
def test_edits_are_words_to_insert_delete_or_replace(draft: str, text: str, edits: int) -> None:
    assert word_edits(draft, text) == edits


def slow(ours: tuple[str, ...], theirs: tuple[str, ...]) -> int:
    @cache
    def distance(i: int, j: int) -> int:
        if not i or not j:
            return i + j
        change = distance(i - 1, j - 1) + (ours[i - 1] != theirs[j - 1])
        return min(distance(i - 1, j) + 1, distance(i, j - 1) + 1, change)

    return distance(len(ours), len(theirs))


def test_edits_are_levenshteins_distance() -> None:
    chance = random.Random(1)
    for _ in range(200):
        ours, theirs = (tuple(chance.choices("abcd", k=chance.randint(0, 8))) for _ in range(2))
        assert word_edits(" ".join(ours), " ".join(theirs)) == slow(ours, theirs)


def test_effort_is_to_the_nearest_caption() -> None:
    assert effort("a dog runs", ["two cats sleep on a bed", "a dog runs fast", "the dog ran"]) == 1
