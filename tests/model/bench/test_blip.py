"""BLIP-base: as long as it is told, as large as it is published, and a clear word where its library is missing."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch

from model.bench import blip
from model.bench.blip import BenchError, Blip


@pytest.mark.parametrize("words", [5, 9])
def test_every_caption_has_as_many_tokens_as_it_is_told(words: int) -> None:
    small = Blip(words, layers=1, image=32)
    tokens = small.caption(small.pixels(2), beam=3)
    assert [len(one) for one in tokens] == [words + 1] * 2


def test_its_real_size_is_that_of_the_published_model() -> None:
    with torch.device("meta"):
        real = Blip(12)
    assert real.shape == (3, 384, 384)
    assert 220e6 < real.parameters < 250e6


def test_without_its_library_the_command_that_installs_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> Any:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr(importlib, "import_module", missing)
    with pytest.raises(BenchError, match=r"python -m pip install -r requirements-bench.txt.*--without blip"):
        blip.transformers()
