"""What counts as a wrong answer during a swap."""

from __future__ import annotations

import pytest

from proof.swap import Answer, Move, right

CAPTIONS = {(version, picture): f"{version} of {picture}" for version in ("old", "new") for picture in (0, 1)}
MOVES = [Move(at=10.0, took=0.5, old="old", new="new"), Move(at=20.0, took=0.5, old="new", new="old")]


def answer(began: float, ended: float, version: str, caption: str | None = None) -> Answer:
    return Answer(began, ended, 0, version=version, caption=caption or f"{version} of 0")


@pytest.mark.parametrize(
    ("given", "good"),
    [
        (answer(5.0, 5.1, "old"), True),
        (answer(5.0, 5.1, "new"), False),
        (answer(10.1, 10.2, "old"), True),  # the pointer has moved, the backend is still loading
        (answer(10.1, 10.2, "new"), True),
        (answer(10.4, 12.0, "old"), True),  # ends with the version that it began with
        (answer(10.6, 10.7, "old"), False),
        (answer(10.6, 10.7, "new"), True),
        (answer(15.0, 15.1, "new", "old of 0"), False),  # another version's words under this one's name
        (answer(25.0, 25.1, "old"), True),
        (answer(25.0, 25.1, "new"), False),
    ],
)
def test_an_answer_must_be_of_a_version_that_served_and_its_own_words(given: Answer, good: bool) -> None:
    assert right(given, MOVES, CAPTIONS) is good
