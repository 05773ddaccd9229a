"""The commands of `python -m model`, one a file, and how they report a user's error."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from model.checkpoint import CheckpointError
from model.datasets import DatasetError
from model.devices import DeviceError
from model.encoder import EncoderError
from model.engines.engine import EngineError
from model.preprocess import ImageError
from model.shards import FeatureError
from model.training.settings import TrainingError
from model.vocabulary import VocabularyError

USER_ERRORS = (
    CheckpointError,
    DatasetError,
    DeviceError,
    EncoderError,
    EngineError,
    FeatureError,
    ImageError,
    TrainingError,
    VocabularyError,
)


@contextmanager
def user_errors() -> Iterator[None]:
    """One clear line and exit status 2 for what the user can mend; a defect of ours keeps its traceback."""
    try:
        yield
    except USER_ERRORS as error:
        print(f"error: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
