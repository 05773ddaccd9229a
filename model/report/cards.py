"""One image of the report: photo, caption by word, references, and what is odd about the caption."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

from model.behaviour import DANGLING, loops
from model.captioner import Caption
from model.metrics import words
from model.report.thumbnails import Thumbnail

LEVELS = "0123456789abcdefghijklmnopqrstuvwxyz"
FULL_BAR = 200.0  # CIDEr-D x100 at which a card's bar is full


@dataclass(frozen=True)
class Card:
    """`cider` is x100, `said` on how many photos of the split the model says this very caption."""

    name: str
    thumbnail: Thumbnail
    caption: Caption
    references: Sequence[str]
    cider: float
    said: int

    @property
    def flags(self) -> list[str]:
        """What the page can be filtered by."""
        spoken = self.caption.words
        found = {
            "repeats": loops(spoken),
            "breaks-off": bool(spoken) and spoken[-1] in DANGLING,
            "shared": self.said > 1,
            "empty": not spoken,
        }
        return [flag for flag, holds in found.items() if holds]


def levels(look: NDArray[np.float32]) -> str:
    """Attention (7, 7) as 49 characters, row by row: 0 where the word did not look, z where it looked most."""
    scaled = np.rint(look / max(float(look.max()), 1e-9) * (len(LEVELS) - 1)).astype(int)
    return "".join(LEVELS[level] for level in scaled.flatten().clip(0, len(LEVELS) - 1))


def card(item: Card) -> str:
    thumbnail, name = item.thumbnail, escape(item.name)
    return (
        f'<article class="card" data-cider="{item.cider:.2f}" data-score="{item.caption.score:.4f}" '
        f'data-name="{name}" data-flags="{" ".join(item.flags)}">'
        f'<button class="photo" aria-label="Show where each word of this caption looked">'
        f'<img src="{escape(thumbnail.address)}" width="{thumbnail.width}" height="{thumbnail.height}" '
        f'loading="lazy" alt="{name}"><canvas></canvas></button>'
        f'<div class="bar" style="--share:{min(item.cider / FULL_BAR, 1):.3f}"></div>'
        f'<div class="text"><p class="caption">{caption_by_word(item.caption, item.references)}</p>'
        f'<p class="facts">{facts(item)}</p>'
        f"<ul>{''.join(f'<li>{reference(one, item.caption)}</li>' for one in item.references)}</ul></div>"
        f'<div class="strip" hidden></div></article>'
    )


def caption_by_word(caption: Caption, references: Sequence[str]) -> str:
    """A button a word, with where it looked; a word that is in no reference is marked.

    Articles and prepositions never are: they say nothing of what the photo shows.
    """
    known = {word for one in references for word in words(one)}
    parts: list[str] = []
    looks = [] if caption.attention is None else list(caption.attention)
    for number, word in enumerate(caption.words):
        strange = " new" if word not in DANGLING and not known.issuperset(words(word)) else ""
        look = f' data-look="{levels(looks[number])}"' if number < len(looks) else ""
        space = "" if number == 0 or word == "'s" else " "
        parts.append(f'{space}<button class="word{strange}"{look}>{escape(word)}</button>')
    return "".join(parts) or "<em>no caption</em>"


def reference(text: str, caption: Caption) -> str:
    """A person's caption, set off in it what the model says, too, articles and prepositions aside."""
    said = {part for word in caption.words if word not in DANGLING for part in words(word)}
    pieces = []
    for word in text.split():
        parts = words(word)
        hit = bool(parts) and said.issuperset(parts)
        pieces.append(f"<b>{escape(word)}</b>" if hit else escape(word))
    return " ".join(pieces)


def facts(item: Card) -> str:
    said = {
        "repeats": "repeats words",
        "breaks-off": "breaks off",
        "shared": f"said of {item.said} photos",
        "empty": "no caption",
    }
    notes = "".join(f'<span class="note">{said[flag]}</span>' for flag in item.flags)
    return (
        f"<span title='CIDEr-D of this caption, x100'>CIDEr-D <strong>{item.cider:.0f}</strong></span>"
        f"<span title='The model&#39;s own score, from 0 to 1'>sure <strong>{item.caption.score:.2f}</strong></span>"
        f'{notes}<span class="name">{escape(item.name)}</span>'
    )
