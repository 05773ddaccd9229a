"""BLEU-1..4, CIDEr-D and ROUGE-L over a split, with a bootstrap interval for BLEU-4. All figures x100.

BLEU is nltk's corpus BLEU over all references of an image: lower case, punctuation stripped, raw reference words (never
<unk>), shortest-distance reference length, no smoothing. CIDEr-D takes its document frequencies from the references of
the split being scored. ROUGE-L is an F1 against the reference that fits best. `SIGNATURE` names all of that and goes
wherever a figure goes. METEOR is not here: it needs Java, or WordNet's data, which no Python package brings along.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from nltk.translate.bleu_score import brevity_penalty, closest_ref_length, corpus_bleu
from numpy.typing import NDArray

from model.cider import Gram, Tokens, cider_d_each
from model.rouge import rouge_l_each
from model.vocabulary import tokenise

SIGNATURE = (
    "bleu:nltk.corpus_bleu|case:lower|punctuation:stripped|refs:all|smoothing:none|ciderd:split-df-sigma6"
    "|rougel:f1-best-ref"
)
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
    rouge_l: float
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
        rouge_l=float(np.mean(rouge_l_each(hypotheses, targets))) * 100,
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


def ngrams(tokens: Tokens, order: int) -> Counter[Gram]:
    return Counter(tuple(tokens[start : start + order]) for start in range(len(tokens) - order + 1))


def bleu_statistics(hypotheses: Sequence[Tokens], references: Sequence[Sequence[Tokens]]) -> NDArray[np.int64]:
    """What corpus BLEU adds up, per image: (N, 10) = 4 clipped matches, 4 totals, hypothesis and reference length."""
    rows = []
    for hypothesis, group in zip(hypotheses, references, strict=True):
        matches, totals = [], []
        for order in range(1, ORDERS + 1):
            counts = ngrams(hypothesis, order)
            most: Counter[Gram] = Counter()
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


def cider_d(hypotheses: Sequence[Words], references: Sequence[Sequence[Words]]) -> float:
    """CIDEr-D in [0, 10] of the whole split: the mean over its images."""
    return float(np.mean(cider_d_each(hypotheses, references)))
