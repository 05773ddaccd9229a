"""The paired bootstrap, against BLEU as nltk counts it, and against what chance does."""

from __future__ import annotations

import random

import numpy as np
import pytest

from model.metrics import score
from model.significance import compare

WORDS = "a the dog man runs sits on in grass water red small two children play with ball near tree".split()


def sentences(count: int, seed: int) -> list[str]:
    chance = random.Random(seed)
    return [" ".join(chance.choices(WORDS, k=chance.randint(6, 12))) for _ in range(count)]


def worse(text: str, chance: random.Random, share: float) -> str:
    return " ".join(chance.choice(WORDS) if chance.random() < share else word for word in text.split())


def test_the_figures_are_those_of_corpus_bleu() -> None:
    references = [[one, other] for one, other in zip(sentences(60, 1), sentences(60, 2), strict=True)]
    chance = random.Random(3)
    ours, theirs = ([worse(group[0], chance, share) for group in references] for share in (0.4, 0.3))
    found = compare(ours, theirs, references)
    assert found.champion == pytest.approx(score(ours, references, resamples=0).bleu4, abs=1e-9)
    assert found.challenger == pytest.approx(score(theirs, references, resamples=0).bleu4, abs=1e-9)
    assert found.difference == pytest.approx(found.challenger - found.champion)
    assert found.low <= found.low_one_sided <= found.high
    assert found.images == 60 and found.changed == sum(a != b for a, b in zip(ours, theirs, strict=True))


def test_a_clear_gain_is_seen_in_both_directions() -> None:
    references = [[text] for text in sentences(200, 1)]
    chance = random.Random(4)
    ours, theirs = ([worse(group[0], chance, share) for group in references] for share in (0.5, 0.2))
    assert compare(ours, theirs, references).p < 0.01
    assert compare(theirs, ours, references).p > 0.99


def test_equal_models_are_no_gain() -> None:
    references = [[text] for text in sentences(50, 1)]
    same = sentences(50, 2)
    found = compare(same, same, references)
    assert (found.difference, found.changed, found.p) == (0.0, 0, 1.0)


def test_models_that_differ_by_chance_alone_seldom_pass() -> None:
    """Which of two models wrote a caption is tossed for both sides: the level must hold."""
    references = [[text] for text in sentences(150, 1)]
    chance = random.Random(5)
    pool = [[worse(group[0], chance, 0.4) for group in references] for _ in range(2)]
    passed = 0
    for _ in range(100):
        ours, theirs = ([pool[chance.random() < 0.5][image] for image in range(150)] for _ in range(2))
        passed += compare(ours, theirs, references, resamples=500).p < 0.05
    assert passed <= 12  # 5 are expected; more than 12 happen once in a thousand times


def test_the_seed_makes_it_repeatable() -> None:
    references = [[text] for text in sentences(40, 1)]
    ours, theirs = sentences(40, 2), sentences(40, 3)
    assert compare(ours, theirs, references) == compare(ours, theirs, references)


def test_what_does_not_match_is_refused() -> None:
    with pytest.raises(ValueError, match="1 and 2 captions for 2 images: one of each"):
        compare(["a dog"], ["a dog", "a cat"], [["a dog"], ["a cat"]])
    with pytest.raises(ValueError, match="one image at least"):
        compare([], [], [])


def test_silence_scores_nothing_and_breaks_nothing() -> None:
    references = [[text] for text in sentences(20, 1)]
    found = compare([""] * 20, [group[0] for group in references], references)
    assert found.champion == 0.0 and found.challenger == pytest.approx(100.0)
    assert np.isfinite([found.low, found.high, found.p]).all()
