"""From settings to a run that can go: data, vocabulary, weights, features."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import torch

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint, Config
from model.datasets import Dataset, load_dataset
from model.decoder import Decoder, DecoderConfig
from model.encoder import Encoder, imagenet_weights, load_weights
from model.features import Features, build, read_or_none
from model.training.batches import CachedSource, PhotoSource, Source
from model.training.run import Run
from model.training.settings import TrainingError, TrainingSettings
from model.vocabulary import Vocabulary


def prepare(settings: TrainingSettings, folder: Path, cache: Path, device: str) -> Run:
    """Load everything that a run needs. Raises the errors of the parts: each names what is wrong with which."""
    settings.check_resume(folder)
    train, validation = (load_dataset(settings.dataset, split) for split in ("train", "dev"))
    checkpoint = starting_checkpoint(settings, train)
    source: Source
    features: Features | None
    if settings.stage == "decoder":
        source = CachedSource(train.examples, build(train, checkpoint.encoder, cache, device=device))
        features = build(validation, checkpoint.encoder, cache, device=device)
        examples = tuple(validation.examples[row] for row in features.usable)
        validation = Dataset(validation.name, validation.split, examples, validation.problems)
    else:
        train, validation = without_torn(train), without_torn(validation)
        source, features = PhotoSource(train.examples, settings.seed), None
    for line in (*train.problems.lines(), *validation.problems.lines()):
        print(line)
    return Run(folder, settings, checkpoint, source, train, validation, features, device=device)


def starting_checkpoint(settings: TrainingSettings, train: Dataset) -> Checkpoint:
    """The checkpoint at `start`, or a new one whose vocabulary comes from the train split alone."""
    if settings.start:
        return with_dropout(checkpoints.load(Path(settings.start)), settings.dropout)
    if settings.stage == "network":
        raise TrainingError("the network stage fine-tunes a trained decoder: give its checkpoint with --start FOLDER")
    torch.manual_seed(settings.seed)
    vocabulary = Vocabulary.build(train.captions(), settings.minimum_count)
    decoder = DecoderConfig(
        vocabulary=len(vocabulary),
        embedding=settings.embedding,
        hidden=settings.hidden,
        attention=settings.attention,
        dropout=settings.dropout,
    )
    checkpoint = checkpoints.create(Config(decoder), vocabulary)
    load_encoder(checkpoint.encoder, settings.encoder)
    return checkpoint


def with_dropout(checkpoint: Checkpoint, dropout: float, *, copy_encoder: bool = False) -> Checkpoint:
    """A copy under another dropout, which is a matter of the run, not of the network's shape.

    The encoder is shared with the original unless `copy_encoder`.
    """
    config = replace(checkpoint.config, decoder=replace(checkpoint.config.decoder, dropout=dropout))
    decoder = Decoder(config.decoder)
    decoder.load_state_dict(checkpoint.decoder.state_dict())
    encoder = deepcopy(checkpoint.encoder) if copy_encoder else checkpoint.encoder
    return replace(checkpoint, config=config, encoder=encoder, decoder=decoder, manifest=dict(checkpoint.manifest))


def load_encoder(encoder: Encoder, source: str) -> None:
    if source == "torchvision":
        imagenet_weights(encoder)
    else:
        load_weights(encoder, Path(source))


def without_torn(dataset: Dataset) -> Dataset:
    """The split less the images that do not decode, which are counted and named in its problems."""
    torn = {example.name for example in dataset.examples if read_or_none(example) is None}
    dataset.problems.torn[:] = sorted(torn)
    sound = tuple(example for example in dataset.examples if example.name not in torn)
    return Dataset(dataset.name, dataset.split, sound, dataset.problems)
