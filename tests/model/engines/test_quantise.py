from __future__ import annotations

import numpy as np
import pytest
import torch

from model.engines.calibration import best_range
from model.engines.quantise import LEVELS, NARROW, WIDE, Range, Weights, round_trip, round_weights


@pytest.mark.parametrize(("low", "high"), [(0.0, 6.0), (-2.1, 2.6), (-4.0, 0.0), (0.0, 0.0)])
def test_rounding_moves_a_value_in_range_by_half_a_step_at_most_and_zero_not_at_all(low: float, high: float) -> None:
    found = Range(low, high)
    x = torch.linspace(low, high, 1001)
    assert float((round_trip(x, found) - x).abs().max()) <= found.scale * 0.5001 + 1e-6
    assert float(round_trip(torch.zeros(1), found)) == 0.0


def test_values_out_of_range_are_cut_off() -> None:
    assert round_trip(torch.tensor([-9.0, 9.0]), Range(0.0, 2.55)).tolist() == pytest.approx([0.0, 2.55])


@pytest.mark.parametrize("most", [NARROW, WIDE])
def test_weights_are_restored_within_half_a_step_of_their_channel(most: int) -> None:
    sizes = torch.logspace(-3, 2, 6)[:, None, None, None]
    weight = torch.randn(6, 4, 3, 3, generator=torch.Generator().manual_seed(0)) * sizes
    levels, scale = round_weights(weight, most)
    restored = levels * scale[:, None, None, None]
    assert (np.abs(restored - weight.numpy()) <= scale[:, None, None, None] * 0.5001).all()
    assert np.abs(levels.astype(int).reshape(6, -1)).max(1).tolist() == [most] * 6


def test_no_pair_of_narrow_products_overflows_sixteen_bits() -> None:
    """What a CPU without VNNI sums up before it widens."""
    assert 2 * LEVELS * NARROW <= 2**15 - 1 < 2 * LEVELS * WIDE


def test_a_channel_of_zeros_stays_zero() -> None:
    levels, scale = round_weights(torch.zeros(2, 3), WIDE)
    assert not levels.any() and (scale > 0).all()


def test_for_a_product_weights_are_turned() -> None:
    weights = Weights(np.array([[[[-127]], [[0]], [[127]]], [[[1]], [[-1]], [[5]]]], np.int8), np.ones(2, np.float32))
    assert weights.for_product().tolist() == [[-127, 1], [0, -1], [127, 5]]


def test_a_rare_large_value_is_cut_off_where_that_errs_less() -> None:
    common = torch.rand(200_000, generator=torch.Generator().manual_seed(0))
    assert best_range(common).high == pytest.approx(1.0, abs=0.01)
    assert best_range(torch.cat([common, torch.tensor([1.2])])).high < 1.1
    assert best_range(torch.cat([common, torch.tensor([20.0])])).high > 15  # too dear to lose
