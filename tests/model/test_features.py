from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from model.datasets import Dataset, load_dataset
from model.features import DONE, TORN, build, cache_folder, read_examples, to_batch
from tests.checkpoints import tiny
from tests.photos import flickr8k_folder


@pytest.fixture
def data(tmp_path: Path) -> Dataset:
    return load_dataset(f"flickr8k:{flickr8k_folder(tmp_path / 'data', train=12)}", "train")


def test_rows_are_what_the_encoder_gives(data: Dataset, tmp_path: Path) -> None:
    encoder = tiny().encoder
    features = build(data, encoder, tmp_path / "cache", batch=5)
    pixels = [p for p in read_examples(data.examples) if p is not None]
    with torch.inference_mode():
        expected = encoder(to_batch(pixels))
    rows = features.rows(range(12))
    assert rows.shape == (12, 49, 128) and features.usable == list(range(12))
    torch.testing.assert_close(rows, expected, rtol=0.05, atol=0.02 * float(expected.abs().max()))  # bfloat16, float16


def test_a_second_build_computes_nothing(data: Dataset, tmp_path: Path) -> None:
    encoder = tiny().encoder
    build(data, encoder, tmp_path / "cache")
    encoder.forward = None  # type: ignore[assignment]  # calling it would raise
    assert build(data, encoder, tmp_path / "cache").usable == list(range(12))


def test_other_weights_have_another_cache(data: Dataset, tmp_path: Path) -> None:
    folders = {cache_folder(tmp_path, data, tiny(seed).encoder) for seed in (0, 1)}
    assert len(folders) == 2


def test_a_torn_image_is_counted_named_and_left_out(data: Dataset, tmp_path: Path) -> None:
    data.examples[3].path.write_bytes(b"\xff\xd8\xff torn")
    features = build(data, tiny().encoder, tmp_path / "cache", batch=4)
    assert features.state[3] == TORN and 3 not in features.usable and len(features.usable) == 11
    assert data.problems.torn == ["train3.jpg"]
    assert "left out: 1 images torn or malformed: train3.jpg" in data.problems.lines()


SLOW_BUILD = """
import sys, time
from pathlib import Path
from model import features
from model.datasets import load_dataset
from tests.checkpoints import tiny

encode = features.encode
def slowly(*arguments):
    time.sleep(0.2)
    return encode(*arguments)
features.encode = slowly
features.build(load_dataset(sys.argv[1], "train"), tiny().encoder, Path(sys.argv[2]), batch=1)
"""


def test_a_killed_build_goes_on_where_it_was(data: Dataset, tmp_path: Path) -> None:
    spec = f"flickr8k:{data.examples[0].path.parents[1]}"
    cache = cache_folder(tmp_path / "cache", data, tiny().encoder)
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SLOW_BUILD, spec, str(tmp_path / "cache")], cwd=root)
    deadline = time.monotonic() + 60
    while not (cache / "names.json").exists() or (np.load(cache / "state.npy") == DONE).sum() < 3:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = int((np.load(cache / "state.npy") == DONE).sum())
    assert 3 <= done < 12
    resumed = build(data, tiny().encoder, tmp_path / "cache")
    afresh = build(data, tiny().encoder, tmp_path / "another")
    assert resumed.usable == afresh.usable == list(range(12))
    torch.testing.assert_close(resumed.rows(range(12)), afresh.rows(range(12)), rtol=0.02, atol=0.02)
