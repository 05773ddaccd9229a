"""Weights rounded together, for the inputs that they meet, against each to the nearest level."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from model.engines.quantise import NARROW, Weights, round_weights
from model.engines.rounding import inputs, round_together
from model.engines.walk import Layer


@pytest.fixture
def correlated() -> Tensor:
    """Inputs (S, 200) that go together, as neighbouring places and channels of a picture do."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2000, 12, generator=generator) @ torch.randn(12, 200, generator=generator)


def error(weights: Weights, weight: Tensor, x: Tensor) -> float:
    restored = torch.from_numpy(weights.levels).float() * torch.from_numpy(weights.scale)[:, None]
    return float((x @ (restored - weight).T).square().mean())


def test_what_comes_out_errs_less_than_with_each_to_the_nearest(correlated: Tensor) -> None:
    weight = torch.randn(30, 200, generator=torch.Generator().manual_seed(1))
    together = round_together(weight, correlated, NARROW)
    assert error(together, weight, correlated) < 0.2 * error(round_weights(weight, NARROW), weight, correlated)
    assert abs(int(together.levels.max())) <= NARROW and abs(int(together.levels.min())) <= NARROW


def test_inputs_that_have_nothing_in_common_leave_the_nearest_levels() -> None:
    weight = torch.randn(8, 150, generator=torch.Generator().manual_seed(1))
    together = round_together(weight, torch.eye(150) * 3, NARROW)
    assert (together.levels == round_weights(weight, NARROW).levels).all()


def test_an_input_that_is_always_zero_does_no_harm(correlated: Tensor) -> None:
    correlated[:, 7] = 0
    together = round_together(torch.randn(4, 200), correlated, NARROW)
    assert (together.scale > 0).all()


@pytest.mark.parametrize(("size", "stride", "padding"), [(1, 1, 0), (1, 2, 0), (3, 1, 1), (3, 2, 1)])
def test_inputs_are_what_the_convolution_multiplies(size: int, stride: int, padding: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, 5, 8, 8, generator=generator), torch.randn(6, 5, size, size, generator=generator)
    rows = inputs(x, Layer("one", weight, torch.zeros(6), stride, padding, relu=True))
    expected = torch.nn.functional.conv2d(x, weight, None, stride, padding)  # (2, 6, H, W)
    torch.testing.assert_close(rows @ weight.flatten(1).T, expected.permute(0, 2, 3, 1).flatten(0, 2))
