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
from model.encoder import Body, Encoder, imagenet_weights, load_weights
from model.features import Features, build, read_or_none
from model.progress import Progress
from model.training.batches import CachedSource, PhotoSource, Source
from model.training.consensus import Consensus, choose, settled
from model.training.objective import CrossEntropy, Objective
from model.training.run import Run
from model.training.selfcritical import SelfCritical
from model.training.settings import TrainingError, TrainingSettings
from model.training.worth import reward_of
from model.vocabulary import Vocabulary
from model.world import ALONE, World


def prepare(settings: TrainingSettings, folder: Path, cache: Path, device: str, world: World = ALONE) -> Run:
    """Load everything that a run needs. Raises the errors of the parts: each names what is wrong with which."""
    settings.check_resume(folder)
    train, validation = (load_dataset(settings.dataset, split) for split in ("train", "dev"))
    return furnish(settings, folder, cache, device, starting_checkpoint(settings, train), train, validation, world)


def furnish(
    settings: TrainingSettings,
    folder: Path,
    cache: Path,
    device: str,
    checkpoint: Checkpoint,
    train: Dataset,
    validation: Dataset,
    world: World = ALONE,
) -> Run:
    """The run over these photos; what its stage caches is computed where it is not there yet, by the first process."""
    source: Source
    features: Features | None
    cached = cached_part(settings, checkpoint)
    if cached is not None:
        source = CachedSource(train.examples, build(train, cached, cache, device=device, world=world))
        features = build(validation, cached, cache, device=device, world=world)
        examples = tuple(validation.examples[row] for row in features.usable)
        validation = Dataset(validation.name, validation.split, examples, validation.problems)
    else:
        train, validation = without_torn(train), without_torn(validation)
        source, features = PhotoSource(train.examples, settings.seed), None
    for line in (*train.problems.lines(), *validation.problems.lines()) if world.first else ():
        print(line)
    goal: Objective = CrossEntropy(settings.label_smoothing)
    if settings.stage == "reward":
        reward = reward_of(settings, captions_of(train), checkpoint, source)
        goal = SelfCritical(reward, settings.samples, settings.temperature)
    elif settings.stage == "consensus":
        with world.first_goes_first():
            captions = settled(folder / "captions.json", lambda: consensus(settings, train, checkpoint, source, device))
        source = Consensus(source, captions)
    return Run(
        folder, settings, checkpoint, source, train, validation, features, device=device, objective=goal, world=world
    )


def cached_part(settings: TrainingSettings, checkpoint: Checkpoint) -> Encoder | Body | None:
    """The part of the encoder whose output the stage takes from the cache; None where it trains from photos."""
    if settings.stage == "network":
        return None
    return Body(checkpoint.encoder) if settings.stage == "top" else checkpoint.encoder


def consensus(
    settings: TrainingSettings, train: Dataset, checkpoint: Checkpoint, source: Source, device: str
) -> list[list[str]]:
    """For each item of the source the captions that the consensus stage learns."""
    reward = reward_of(settings, captions_of(train), checkpoint, source)
    with Progress("proposals", len(source)) as progress:
        return choose(checkpoint, source, reward, settings.proposals, settings.kept, device, progress.advance)


def captions_of(dataset: Dataset) -> list[tuple[str, ...]]:
    return [example.captions for example in dataset.examples]


def starting_checkpoint(settings: TrainingSettings, train: Dataset) -> Checkpoint:
    """The checkpoint at `start`, or a new one whose vocabulary comes from the train split alone."""
    if settings.start:
        return with_dropout(checkpoints.load(Path(settings.start)), settings.dropout)
    if settings.stage != "decoder":
        raise TrainingError(
            f"the {settings.stage} stage goes on from a trained decoder: give its checkpoint with --start FOLDER"
        )
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
