"""CIDEr-D (Vedantam et al., 2015): TF-IDF weighted n-gram similarity, clipped, with a penalty on length difference.

Tokens may be words or their indices. A figure is in [0, 10]; the mean over the images is the split's.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass

ORDERS = 4
SIGMA = 6.0  # words of length difference

Tokens = Sequence[Hashable]
Gram = tuple[Hashable, ...]


@dataclass(frozen=True)
class Vector:
    """A sentence's TF-IDF weights, the norm of those of each order, and its length in tokens."""

    weights: Mapping[Gram, float]
    norms: Sequence[float]
    length: int


def grams(tokens: Tokens) -> Counter[Gram]:
    """All n-grams of one to four tokens."""
    tokens = tuple(tokens)
    return Counter(tokens[i : i + order] for order in range(1, ORDERS + 1) for i in range(len(tokens) - order + 1))


class CiderD:
    """How like references a sentence is; `documents`, a group of references each, say how rare which n-gram is."""

    def __init__(self, documents: Iterable[Sequence[Tokens]]) -> None:
        counts: Counter[Gram] = Counter()
        groups = 0
        for group in documents:
            counts.update({gram for reference in group for gram in grams(reference)})
            groups += 1
        self.unseen = math.log(max(groups, 2))
        self.rarity = {gram: self.unseen - math.log(count) for gram, count in counts.items() if count > 1}

    def read(self, sentence: Tokens) -> Vector:
        weights = {gram: count * self.rarity.get(gram, self.unseen) for gram, count in grams(sentence).items()}
        squares = [0.0] * ORDERS
        for gram, weight in weights.items():
            squares[len(gram) - 1] += weight * weight
        return Vector(weights, [math.sqrt(square) for square in squares], len(sentence))

    def score(self, sentence: Tokens, references: Sequence[Vector]) -> float:
        """The sentence against the references of its image, read before."""
        ours = self.read(sentence)
        return 10 * sum(similarity(ours, theirs) for theirs in references) / (len(references) * ORDERS)


def similarity(ours: Vector, theirs: Vector) -> float:
    """The sum over the orders of the clipped cosine, in [0, 4]."""
    dots = [0.0] * ORDERS
    for gram, weight in ours.weights.items():
        other = theirs.weights.get(gram)
        if other is not None:
            dots[len(gram) - 1] += min(weight, other) * other
    closeness = math.exp(-((ours.length - theirs.length) ** 2) / (2 * SIGMA**2))
    triples = zip(dots, ours.norms, theirs.norms, strict=True)
    return closeness * sum(dot / (mine * yours) for dot, mine, yours in triples if mine and yours)


def cider_d_each(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> list[float]:
    """One figure an image, in [0, 10]."""
    cider = CiderD(references)
    pairs = zip(hypotheses, references, strict=True)
    return [cider.score(hypothesis, [cider.read(one) for one in group]) for hypothesis, group in pairs]
