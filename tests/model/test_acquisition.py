"""Least confident first, kinds of photos in turn, some by chance; and scores that Label Studio sorts the same way."""

from __future__ import annotations

import numpy as np

from model.acquisition import clusters, order, spread_scores, turns


def kinds(each: int, count: int) -> np.ndarray:  # type: ignore[type-arg]
    """`count` kinds of photos, `each` of each: features that point in as many directions."""
    chance = np.random.default_rng(0)
    centres = np.eye(count, 32) * 10
    return np.repeat(centres, each, axis=0) + chance.normal(0, 0.1, (each * count, 32))


def test_without_chance_and_kinds_the_least_confident_comes_first() -> None:
    confidence = np.array([0.9, 0.1, 0.5])
    assert order(confidence, np.ones((3, 4)), random_share=0.0, seed=1) == [1, 2, 0]


def test_kinds_take_turns() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2], dtype=np.int32)
    confidence = np.array([0.1, 0.2, 0.3, 0.5, 0.6, 0.9])
    assert turns(confidence, labels) == [0, 3, 5, 1, 4, 2]


def test_photos_that_look_alike_share_a_cluster() -> None:
    labels = clusters(kinds(9, 9), seed=1)
    for start in range(0, 81, 9):
        assert len(set(labels[start : start + 9])) == 1


def test_an_unsure_kind_does_not_fill_the_first_page() -> None:
    """One kind is all less confident than the others: without turns it would be offered alone."""
    confidence = np.repeat([0.1, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.92, 0.95], 9) + np.linspace(0, 0.01, 81)
    first = order(confidence, kinds(9, 9), random_share=0.0, seed=1)[:9]
    assert len({position // 9 for position in first}) >= 6
    assert first[0] == 0


def test_a_share_comes_by_chance() -> None:
    confidence = np.linspace(0, 1, 400)
    features = np.ones((400, 4))
    assert order(confidence, features, random_share=0.0, seed=1) == list(range(400))
    mixed = order(confidence, features, random_share=0.25, seed=1)
    late = sum(position > 250 for position in mixed[:100])
    assert 5 <= late <= 25  # of the 25 by chance, three eighths are from the surest 150
    everything = order(confidence, features, random_share=1.0, seed=1)
    assert sorted(mixed) == sorted(everything) == list(range(400))
    assert abs(np.corrcoef(everything, range(400))[0, 1]) < 0.2


def test_sorting_by_the_spread_scores_gives_the_order() -> None:
    confidence = np.array([0.4, 0.4, 0.9, 0.1, 0.4])
    positions = [2, 0, 4, 3, 1]
    scores = spread_scores(confidence, positions)
    assert list(np.argsort(scores, kind="stable")) == positions
    assert np.allclose(np.sort(scores), np.sort(confidence))
    assert ((scores >= 0) & (scores <= 1)).all()


def test_few_photos_are_enough() -> None:
    assert order(np.array([0.5]), np.ones((1, 4)), random_share=0.5, seed=1) == [0]
    assert order(np.zeros(0), np.ones((0, 4)), random_share=0.5, seed=1) == []
