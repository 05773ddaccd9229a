"""Lessons whose photos several people described, by the captions that agree best; the others as they are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from model import checkpoint as checkpoints
from model.training import agreement
from model.training.agreement import FEWEST, agreed, several
from model.training.mixture import Lesson
from tests.checkpoints import tiny_checkpoint

PEOPLE = ("a dog runs", "a dog runs on grass", "the dog runs", "a dog is running", "my friend took this")


def lessons(count: int, captions: int = 5) -> list[Lesson]:
    return [Lesson(f"photo {captions} {number}", PEOPLE[:captions]) for number in range(count)]


def test_some_are_chosen_of_photos_with_three_captions_and_more_each_photo_once() -> None:
    many, few = lessons(FEWEST), lessons(5, captions=2)
    assert several([*many, *few, *many]) == many
    assert several([*lessons(3, captions=3), *many])[:3] == lessons(3, captions=3)


def test_too_few_photos_tell_nothing() -> None:
    assert several(lessons(FEWEST - 1)) == []


def test_the_one_that_nobody_agrees_with_is_left_out(tmp_path: Path) -> None:
    """The untrained model's proposals are worth nothing; of people's captions the odd one goes."""
    champion = checkpoints.load(tiny_checkpoint(tmp_path))
    grid = torch.randn(6, 49, champion.config.decoder.channels, generator=torch.Generator().manual_seed(0))
    some = lessons(6)
    asked: list[int] = []

    def grids(keys: Sequence[str]) -> torch.Tensor:
        return grid[[int(key.split()[-1]) for key in keys]]

    found = agreed(some, grids, champion, 3, advance=asked.append)
    assert [lesson.key for lesson in found] == [lesson.key for lesson in some] and sum(asked) == 6
    for lesson in found:
        assert len(lesson.captions) == 3 and PEOPLE[-1] not in lesson.captions
    assert found == agreed(some, grids, champion, 3), "the same for a run that has lost what it chose"
    assert agreement.SETTINGS.kept == 3
