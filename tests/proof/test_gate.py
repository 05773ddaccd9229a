"""The replay of null updates and true gains: that its trials are what they claim to be."""

from __future__ import annotations

import random
from statistics import fmean

import pytest

from proof.gate import BASE, Voices
from trainer.learning.gate import Rules

WORDS = "a the dog man runs sits on in grass water red small two children play with ball near tree boat".split()
PHOTOS = 100


@pytest.fixture(scope="module")
def voices() -> Voices:
    """Two captioners of made-up words: one gets six of ten words right, the other eight."""
    chance = random.Random(1)
    references = [[" ".join(chance.sample(WORDS, 9))] for _ in range(PHOTOS)]

    def spoken(right: float) -> list[str]:
        words = [
            [word if chance.random() < right else chance.choice(WORDS) for word in one[0].split()] for one in references
        ]
        return [" ".join(one) for one in words]

    return Voices(spoken(0.6), spoken(0.8), references)


def test_odds_are_found_for_a_gain(voices: Voices) -> None:
    odds = voices.odds_for(3.0)
    assert BASE < odds < 1
    assert voices.quality(odds) - voices.quality(BASE) == pytest.approx(3.0, abs=0.7)


def test_a_null_trial_has_no_gain_to_expect_and_other_captions(voices: Voices) -> None:
    rules = Rules("benchmark", 0.05, 0.5, PHOTOS)
    found = [voices.trial(BASE, rules).figures["benchmark"]["comparison"] for _ in range(25)]
    assert abs(fmean(one["difference"] for one in found)) < 2.0
    assert fmean(one["changed"] for one in found) > PHOTOS / 5


def test_a_large_gain_is_promoted_and_none_is_not(voices: Voices) -> None:
    rules = Rules("benchmark", 0.025, 0.5, PHOTOS)
    assert sum(voices.trial(BASE, rules).promote for _ in range(20)) <= 4
    assert sum(voices.trial(1.0, rules).promote for _ in range(10)) == 10
