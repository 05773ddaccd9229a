"""Lessons of a fine-tuning by consensus: of a photo that several people described, the captions that agree best.

A champion that has been through the consensus stage says what most people would. Cross-entropy on all that people
wrote takes that from it again: on the starter 1.2 BLEU-4 on Flickr8k dev are lost, on the captions chosen here 0.3
(docs/learning.md). Photos with fewer captions than SEVERAL are learnt as they were described: a correction always is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from torch import Tensor

from model.checkpoint import Checkpoint
from model.training.consensus import choose
from model.training.mixture import Lesson
from model.training.settings import TrainingSettings
from model.training.worth import reward_of

# Captions of a photo from which on there is something to agree on.
SEVERAL = 3
# Photos with so many captions: fewer do not tell which words say something.
FEWEST = 100
SETTINGS = TrainingSettings(dataset="", stage="consensus", bleu_reward=0.5)


def several(lessons: Sequence[Lesson]) -> list[Lesson]:
    """The photos, each once, of whose captions some are chosen; none where they are too few to choose by."""
    found = {lesson.key: lesson for lesson in lessons if len(lesson.captions) >= SEVERAL}
    return list(found.values()) if len(found) >= FEWEST else []


def agreed(
    lessons: Sequence[Lesson],
    grids: Callable[[Sequence[str]], Tensor],
    champion: Checkpoint,
    kept: int,
    *,
    device: str = "cpu",
    advance: Callable[[int], None] = lambda count: None,
) -> list[Lesson]:
    """`lessons` with `kept` captions each, chosen from people's and from those that the champion proposes.

    `grids` turns keys into features (B, 49, C).
    """
    source = Described(lessons, grids)
    reward = reward_of(SETTINGS, [lesson.captions for lesson in lessons], champion, source)
    chosen = choose(champion, source, reward, SETTINGS.proposals, kept, device, advance)
    return [replace(lesson, captions=tuple(captions)) for lesson, captions in zip(lessons, chosen, strict=True)]


def instead(lessons: Sequence[Lesson], chosen: Sequence[Lesson]) -> list[Lesson]:
    """`lessons`, those of the same photos from `chosen` in their places."""
    found = {lesson.key: lesson for lesson in chosen}
    return [found.get(lesson.key, lesson) for lesson in lessons]


class Described:
    """A Source of lessons in their order."""

    def __init__(self, lessons: Sequence[Lesson], grids: Callable[[Sequence[str]], Tensor]) -> None:
        self.lessons, self.grids = lessons, grids

    def __len__(self) -> int:
        return len(self.lessons)

    def load(self, items: Sequence[int], epoch: int) -> tuple[Tensor, list[Sequence[str]]]:
        lessons = [self.lessons[item] for item in items]
        return self.grids([lesson.key for lesson in lessons]), [lesson.captions for lesson in lessons]
