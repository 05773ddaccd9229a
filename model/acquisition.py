"""Which photos to label next: those the model can learn most from.

Least confident first, but not one kind of photo after the other: photos are clustered by their pooled features, and the
clusters take turns. A share is drawn at random, because a model is also wrong where it is sure.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32] | NDArray[np.float64]


def order(confidence: Floats, pooled: Floats, *, random_share: float, seed: int) -> list[int]:
    """Positions in the order to label in. `confidence` is (N,) in [0, 1], `pooled` (N, C): the mean of each grid."""
    count = len(confidence)
    chance = np.random.default_rng(seed)
    chosen = turns(confidence, clusters(pooled, seed))
    wild = chance.permutation(count).tolist()
    drawn = chance.random(count) < random_share
    result: list[int] = []
    taken: set[int] = set()
    for by_chance in drawn:
        source = wild if by_chance else chosen
        pick = next(position for position in source if position not in taken)
        taken.add(pick)
        result.append(pick)
    return result


def turns(confidence: Floats, labels: NDArray[np.int32]) -> list[int]:
    """Round by round the least confident photo of each cluster, within a round the least confident first."""
    rank = np.zeros(len(confidence), dtype=np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank[members[np.argsort(confidence[members], kind="stable")]] = np.arange(len(members))
    return [int(position) for position in np.lexsort((confidence, rank))]


def clusters(pooled: Floats, seed: int) -> NDArray[np.int32]:
    """A cluster's number for each photo (N,): about the square root of N clusters, by direction of the features."""
    # Imported here: it takes a third of a second, which a backend that starts has no use for.
    from scipy.cluster.vq import kmeans2

    count = len(pooled)
    if count < 4:
        return np.zeros(count, dtype=np.int32)
    points = pooled - pooled.mean(0)
    points = points / np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-9)
    wanted = min(math.isqrt(count), len(np.unique(points, axis=0)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an empty cluster is no harm: it merely takes no turn
        _, labels = kmeans2(points.astype(np.float64), wanted, minit="++", seed=seed)
    found: NDArray[np.int32] = labels
    return found


def spread_scores(confidence: Floats, positions: list[int]) -> NDArray[np.float64]:
    """The same scores, handed out so that sorting by score, lowest first, gives `positions`.

    Label Studio offers the lowest score first, and knows nothing else of an order. Ties are kept apart by a hair.
    """
    values = np.sort(np.asarray(confidence, dtype=np.float64))
    for place in range(1, len(values)):
        values[place] = max(values[place], np.nextafter(values[place - 1], 2.0))
    scores = np.empty(len(values))
    scores[positions] = np.minimum(values, 1.0)
    return scores
