"""A shelf keeps each photo once, its features once for each encoder, and never half."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from model.preprocess import ImageError, read_pixels
from model.shelf import Shelf, content_key
from tests.checkpoints import tiny
from tests.photos import drawn, encoded


def test_a_photo_is_kept_once_by_its_content(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    data = encoded(drawn("red", "left"))
    key = shelf.add(data)
    assert key == shelf.add(data) == content_key(data)
    assert shelf.has(key) and not shelf.has(content_key(b"another"))
    assert np.array_equal(shelf.pixels(key), read_pixels(data))
    assert len(list((tmp_path / "pixels").iterdir())) == 1


def test_what_is_no_picture_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageError):
        Shelf(tmp_path).add(b"no picture")
    assert not (tmp_path / "pixels").exists()


def test_features_are_the_encoders_and_computed_once(tmp_path: Path) -> None:
    shelf, encoder = Shelf(tmp_path), tiny().encoder
    keys = [shelf.add(encoded(drawn(colour, "left"))) for colour in ("red", "green", "blue")]
    told: list[int] = []
    mark = shelf.build(encoder, keys, progress=told.append)
    assert sum(told) == 3
    grids = shelf.grids(mark)(keys)
    with torch.inference_mode():
        fresh = encoder(shelf.photos()(keys))
    assert torch.allclose(grids, fresh, atol=2e-3)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "grids" / mark).iterdir()}
    assert shelf.build(encoder, [*keys, keys[0]]) == mark
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "grids" / mark).iterdir()} == before


def test_each_encoder_has_features_of_its_own(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path)
    key = shelf.add(encoded(drawn("red", "left")))
    marks = [shelf.build(tiny(seed).encoder, [key]) for seed in (0, 1)]
    assert marks[0] != marks[1]
    assert not np.array_equal(shelf.grid(marks[0], key), shelf.grid(marks[1], key))
