"""The mean of several runs' weights: of all of them, of encoders too, and only where they fit each other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from model import checkpoint as checkpoints
from model.__main__ import app
from model.averaging import average
from model.checkpoint import CheckpointError
from model.vocabulary import Vocabulary
from tests.checkpoints import tiny, tiny_checkpoint


def test_every_weight_is_the_mean() -> None:
    runs = [tiny(seed) for seed in range(3)]
    expected = {
        name: {
            key: torch.stack([getattr(run, name).state_dict()[key].float() for run in runs]).mean(0)
            for key in getattr(runs[0], name).state_dict()
        }
        for name in ("encoder", "decoder")
    }
    made = average(runs)
    for name, weights in expected.items():
        for key, value in getattr(made, name).state_dict().items():
            torch.testing.assert_close(value.float(), weights[key])
    assert not torch.equal(made.decoder.start.weight, tiny(0).decoder.start.weight)


def test_one_run_is_its_own_mean_and_dropout_is_no_shape() -> None:
    run, other = tiny(1), tiny(1)
    decoder = replace(other.config.decoder, dropout=0.1)
    other.config = replace(other.config, decoder=decoder)
    for key, value in average([run, other]).decoder.state_dict().items():
        torch.testing.assert_close(value, tiny(1).decoder.state_dict()[key])


def test_what_does_not_fit_is_refused_by_name() -> None:
    run, other = tiny(1), tiny(2)
    other.vocabulary = Vocabulary([*other.vocabulary.words[:-1], "elsewhere"])
    with pytest.raises(CheckpointError, match="has other words"):
        average([run, other])
    other = tiny(2)
    other.config = replace(other.config, encoder_width=3)
    with pytest.raises(CheckpointError, match="has another shape"):
        average([run, other])


def test_the_command_writes_a_checkpoint_that_loads_and_says_of_what(tmp_path: Path) -> None:
    folders = [tiny_checkpoint(tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    options = [word for folder in folders for word in ("--checkpoint", str(folder))]
    done = CliRunner().invoke(app, ["average", *options, "--out", str(tmp_path / "mean")])
    assert done.exit_code == 0, done.output
    made = checkpoints.load(tmp_path / "mean")
    assert made.manifest["training"]["mean_of"] == [checkpoints.load(folder).version for folder in folders]
    assert made.version in done.output
