"""Is one model's BLEU-4 better than another's on the same photos, or was it luck? Paired bootstrap (Koehn, 2004).

Both models caption the same photos; photos are drawn with replacement, and BLEU-4 is computed for both over each draw.
Per-photo n-gram counts are summed by one matrix product, so thousands of draws cost a tenth of a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.metrics import bleu4, bleu_statistics, words

RESAMPLES = 2000
SEED = 12345


@dataclass(frozen=True)
class Comparison:
    """BLEU-4 figures x100. `low` and `high` bound the difference at 95 %, two-sided; `low_one_sided` from below alone.

    `p` is one-sided: the chance of a difference this far above zero if the challenger were no better.
    """

    champion: float
    challenger: float
    difference: float
    low: float
    high: float
    low_one_sided: float
    p: float
    images: int
    changed: int
    resamples: int


def compare(
    champion: Sequence[str],
    challenger: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Comparison:
    """Compare two models' captions of the same images. Raises ValueError when the three do not match, or are empty."""
    if not len(champion) == len(challenger) == len(references) or not references:
        counts = f"{len(champion)} and {len(challenger)} captions for {len(references)} images"
        raise ValueError(f"{counts}: one of each model for each image is needed, and one image at least")
    targets = [[words(reference) for reference in group] for group in references]
    ours = bleu_statistics([words(caption) for caption in champion], targets)
    theirs = bleu_statistics([words(caption) for caption in challenger], targets)
    changed = sum(one != other for one, other in zip(champion, challenger, strict=True))
    return compare_statistics(ours, theirs, changed=changed, resamples=resamples, seed=seed)


def compare_statistics(
    ours: NDArray[np.int64], theirs: NDArray[np.int64], *, changed: int, resamples: int = RESAMPLES, seed: int = SEED
) -> Comparison:
    """The same from `bleu_statistics` of champion and challenger, (N, 10) each; `changed` captions differ."""
    differences = resampled(ours, theirs, resamples, seed)
    before, after = float(bleu4(ours.sum(0))) * 100, float(bleu4(theirs.sum(0))) * 100
    low, low_one_sided, high = np.percentile(differences, [2.5, 5, 97.5])
    return Comparison(
        champion=before,
        challenger=after,
        difference=after - before,
        low=float(low),
        high=float(high),
        low_one_sided=float(low_one_sided),
        p=(1 + int((differences <= 0).sum())) / (1 + resamples),
        images=len(ours),
        changed=changed,
        resamples=resamples,
    )


def resampled(ours: NDArray[np.int64], theirs: NDArray[np.int64], resamples: int, seed: int) -> NDArray[np.float64]:
    """The difference in BLEU-4, x100, over each draw of images: (resamples,). Statistics are (N, 10)."""
    count = len(ours)
    draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=resamples).astype(np.float64)
    differences: NDArray[np.float64] = (bleu4(draws @ theirs) - bleu4(draws @ ours)) * 100
    return differences
