"""How a model talks, beyond what BLEU sees: silence, loops, sentences that break off, one caption for everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from model.vocabulary import tokenise

ARTICLES = frozenset({"a", "an", "the"})
# No English caption ends in one of these; a model that is stopped short does.
DANGLING = ARTICLES | {
    "and",
    "or",
    "of",
    "with",
    "in",
    "on",
    "at",
    "to",
    "for",
    "from",
    "into",
    "by",
    "is",
    "are",
    "'s",
}
LOOP = 3


@dataclass(frozen=True)
class Behaviour:
    """Counts over `images` captions; `unique` are different captions, `distinct_words` different words in all."""

    images: int
    empty: int
    looping: int
    dangling: int
    unique: int
    distinct_words: int


def behaviour(captions: Sequence[str]) -> Behaviour:
    spoken = [tokenise(caption) for caption in captions]
    return Behaviour(
        images=len(captions),
        empty=sum(not words for words in spoken),
        looping=sum(map(loops, spoken)),
        dangling=sum(bool(words) and words[-1] in DANGLING for words in spoken),
        unique=len({tuple(words) for words in spoken if words}),
        distinct_words=len({word for words in spoken for word in words}),
    )


def loops(words: Sequence[str]) -> bool:
    """Whether a word that is no article comes three times, or three words in a row come twice."""
    counts = Counter(word for word in words if word not in ARTICLES)
    trigrams = Counter(zip(words, words[1:], words[2:], strict=False))
    return max(counts.values(), default=0) >= LOOP or max(trigrams.values(), default=0) > 1
