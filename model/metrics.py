"""BLEU-1..4 and CIDEr-D over a split, with a bootstrap interval for BLEU-4. All figures x100.

BLEU is nltk's corpus BLEU over all references of an image: lower case, punctuation stripped, raw reference words (never
<unk>), shortest-distance reference length, no smoothing. CIDEr-D (Vedantam et al., 2015) takes its document frequencies
from the references of the split being scored. `SIGNATURE` names all of that and goes wherever a figure goes.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nltk.translate.bleu_score import brevity_penalty, closest_ref_length, corpus_bleu
from numpy.typing import NDArray

from model.vocabulary import tokenise

SIGNATURE = "bleu:nltk.corpus_bleu|case:lower|punctuation:stripped|refs:all|smoothing:none|ciderd:split-df-sigma6"
WEIGHTS = [tuple([1 / n] * n) for n in (1, 2, 3, 4)]
ORDERS = 4

Words = list[str]


def words(caption: str) -> Words:
    """The words a metric compares: lower case, no punctuation inside or between them."""
    stripped = ("".join(letter for letter in word if letter.isalnum()) for word in tokenise(caption))
    return [word for word in stripped if word]


@dataclass(frozen=True)
class Scores:
    """Figures x100, except `brevity_penalty` in [0, 1] and the mean lengths in words."""

    bleu: tuple[float, float, float, float]
    cider: float
    brevity_penalty: float
    confidence: Mapping[str, Any]

    @property
    def bleu4(self) -> float:
        return self.bleu[3]


def score(captions: Sequence[str], references: Sequence[Sequence[str]], *, resamples: int = 1000) -> Scores:
    """Score one caption an image against all its references. `resamples` of 0 leaves the interval out."""
    if len(captions) != len(references) or not captions:
        raise ValueError(f"{len(captions)} captions for {len(references)} images: one each is needed, and one at least")
    hypotheses = [words(caption) for caption in captions]
    targets = [[words(reference) for reference in group] for group in references]
    bleu = nltk_bleu(hypotheses, targets)
    length = sum(map(len, hypotheses))
    nearest = sum(
        closest_ref_length(group, len(hypothesis)) for group, hypothesis in zip(targets, hypotheses, strict=True)
    )
    confidence = bootstrap(bleu_statistics(hypotheses, targets), resamples) if resamples else {}
    return Scores(
        bleu=(bleu[0] * 100, bleu[1] * 100, bleu[2] * 100, bleu[3] * 100),
        cider=cider_d(hypotheses, targets) * 100,
        brevity_penalty=brevity_penalty(nearest, length) if length else 0.0,
        confidence=confidence,
    )


def nltk_bleu(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> Sequence[float]:
    """BLEU-1..4 in [0, 1]; 0 from the order on at which no n-gram matches, as in the first steps of a training."""
    if not any(hypotheses):
        return [0.0] * ORDERS
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # nltk warns of such a 0, and advises smoothing
        figures: Sequence[float] = corpus_bleu(references, hypotheses, weights=WEIGHTS)
    return figures


def ngrams(tokens: Words, order: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def bleu_statistics(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> NDArray[np.int64]:
    """What corpus BLEU adds up, per image: (N, 10) = 4 clipped matches, 4 totals, hypothesis and reference length."""
    rows = []
    for hypothesis, group in zip(hypotheses, references, strict=True):
        matches, totals = [], []
        for order in range(1, ORDERS + 1):
            counts = ngrams(hypothesis, order)
            most: Counter[tuple[str, ...]] = Counter()
            for reference in group:
                most |= ngrams(reference, order)
            matches.append(sum((counts & most).values()))
            totals.append(max(1, sum(counts.values())))  # as nltk counts a caption shorter than the n-gram
        rows.append([*matches, *totals, len(hypothesis), closest_ref_length(group, len(hypothesis))])
    return np.array(rows, dtype=np.int64)


def bleu4(statistics: NDArray[Any]) -> NDArray[np.float64]:
    """BLEU-4 in [0, 1] from summed statistics (..., 10)."""
    sums = statistics.astype(np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.log(sums[..., :4] / sums[..., 4:8]).mean(axis=-1)
        penalty = np.minimum(0.0, 1 - sums[..., 9] / sums[..., 8])
    figures: NDArray[np.float64] = np.nan_to_num(np.exp(precision + penalty), nan=0.0)
    return figures


def bootstrap(statistics: NDArray[np.int64], resamples: int, seed: int = 12345) -> dict[str, Any]:
    """The 95 % percentile interval of BLEU-4 over images drawn with replacement."""
    count = len(statistics)
    draws = np.random.default_rng(seed).multinomial(count, [1 / count] * count, size=resamples)
    low, high = np.percentile(bleu4(draws @ statistics) * 100, [2.5, 97.5])
    return {
        "bleu4": [float(low), float(high)],
        "level": 0.95,
        "resamples": resamples,
        "method": "bootstrap over images",
    }


def cider_d(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]], sigma: float = 6.0) -> float:
    """CIDEr-D in [0, 10]: TF-IDF weighted n-gram similarity, clipped, with a Gaussian penalty on length difference."""
    documents: Counter[tuple[str, ...]] = Counter()
    for group in references:
        documents.update({gram for reference in group for order in range(1, 5) for gram in ngrams(reference, order)})
    log_images = math.log(max(len(references), 2))

    def vector(tokens: Words, order: int) -> dict[tuple[str, ...], float]:
        return {g: n * (log_images - math.log(max(documents[g], 1))) for g, n in ngrams(tokens, order).items()}

    def similarity(hypothesis: Words, reference: Words, order: int) -> float:
        ours, theirs = vector(hypothesis, order), vector(reference, order)
        norms = math.sqrt(sum(x * x for x in ours.values())) * math.sqrt(sum(x * x for x in theirs.values()))
        dot = sum(min(weight, theirs[gram]) * theirs[gram] for gram, weight in ours.items() if gram in theirs)
        return dot / norms * math.exp(-((len(hypothesis) - len(reference)) ** 2) / (2 * sigma**2)) if norms else 0.0

    total = 0.0
    for hypothesis, group in zip(hypotheses, references, strict=True):
        similarities = [similarity(hypothesis, reference, order) for reference in group for order in range(1, 5)]
        total += 10 * sum(similarities) / len(similarities)
    return total / len(hypotheses)
