from __future__ import annotations

import hashlib

import pytest

from trainer.learning.holdout import held_out, place

KEYS = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(4000)]
PLACES = [0.991519, 0.881399, 0.0551]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2, 0.9])
def test_the_share_is_what_is_kept_apart(share: float) -> None:
    kept = sum(held_out(key, share) for key in KEYS) / len(KEYS)
    assert kept == pytest.approx(share, abs=0.02) and (share > 0 or kept == 0)


def test_a_photo_is_on_the_same_side_for_good() -> None:
    """Figures written down once: another hash, or another order of its bytes, would move photos across."""
    assert [round(place(key), 6) for key in KEYS[:3]] == PLACES
    assert [held_out(key, 0.2) for key in KEYS] == [held_out(key, 0.2) for key in KEYS]


def test_a_larger_share_keeps_all_that_was_kept() -> None:
    before = {key for key in KEYS if held_out(key, 0.2)}
    after = {key for key in KEYS if held_out(key, 0.3)}
    assert before < after


def test_neighbouring_keys_have_nothing_to_do_with_each_other() -> None:
    """Content keys are hashes already, but what is kept apart must not follow from their first digits."""
    low = [key for key in KEYS if key < "2"]
    assert sum(held_out(key, 0.5) for key in low) / len(low) == pytest.approx(0.5, abs=0.1)
