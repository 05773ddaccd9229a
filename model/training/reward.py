"""What a sampled caption is worth: CIDEr-D, and what it adds to the corpus' BLEU-4.

The end of the sentence counts as a word in both. A reward that leaves it out is won by captions that break off
("... with a"), since a word more than the references have costs nothing there (Hu et al., 2022).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from model.cider import CiderD
from model.metrics import bleu_statistics

Tokens = list[int]


class Reward:
    """`documents` are the train split's captions as word indices with their end, an image each; `bleu` is None where
    CIDEr-D alone counts."""

    def __init__(self, documents: Iterable[Sequence[Tokens]], *, cider: float, bleu: LinearBleu | None) -> None:
        self.cider, self.weight, self.bleu = CiderD(documents), cider, bleu

    def worth(self, captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> NDArray[np.float64]:
        """(B, K): `captions` has K of each image in turn, `references` a group an image."""
        each = len(captions) // len(references)
        read = [[self.cider.read(one) for one in group] for group in references]
        worth = self.weight * np.array([self.cider.score(one, read[row // each]) for row, one in enumerate(captions)])
        if self.bleu:
            worth += self.bleu.gains(captions, [references[row // each] for row in range(len(captions))])
        return worth.reshape(-1, each)


class LinearBleu:
    """What a caption adds to the logarithm of a corpus' BLEU-4, to the first order, times `weight`.

    log BLEU is a sum of logarithms of corpus totals, so its gradient is linear in each caption's own counts, in units
    of the corpus' mean (as Tromble et al., 2008, have it for lattices). The corpus is one of captions as they are
    served: sampled ones match so seldom that a single match would outweigh all else.
    """

    def __init__(self, weight: float, captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> None:
        self.weight, self.means = weight, np.maximum(bleu_statistics(captions, references).mean(0), 1e-2)

    def gains(self, captions: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> NDArray[np.float64]:
        """(N,), one for each caption."""
        relative = bleu_statistics(captions, references) / self.means
        gains: NDArray[np.float64] = (relative[:, :4] - relative[:, 4:8]).mean(1)
        shortness = self.means[9] / self.means[8]
        if shortness > 1:  # the corpus is shorter than its references: the brevity penalty falls with every word
            gains += shortness * (relative[:, 8] - relative[:, 9])
        return self.weight * gains
