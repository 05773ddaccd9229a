"""A real checkpoint, randomly initialised, small enough to caption in milliseconds: for tests of what surrounds it."""

from __future__ import annotations

from pathlib import Path

import torch

from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint, Config
from model.decoder import DecoderConfig
from model.vocabulary import END, SPECIALS, Vocabulary
from tests.photos import COLOURS, captions_of

WORDS = "a the dog man woman child runs sits jumps in on through grass water snow red ball with 's of two".split()
WIDTH, BLOCKS = 4, (1, 1, 1, 1)


def tiny(seed: int = 0) -> Checkpoint:
    torch.manual_seed(seed)
    vocabulary = Vocabulary((*SPECIALS, *WORDS))
    decoder = DecoderConfig(len(vocabulary), channels=WIDTH * 32, embedding=16, hidden=24, attention=20)
    checkpoint = checkpoints.create(Config(decoder, encoder_width=WIDTH, encoder_blocks=BLOCKS), vocabulary)
    with torch.no_grad():
        checkpoint.decoder.bias[END] = -0.4  # random decoders would else say one word and stop
    checkpoint.encoder.eval()
    checkpoint.decoder.eval()
    return checkpoint


def squares_checkpoint(folder: Path, width: int, *, embedding: int, hidden: int, dropout: float) -> Path:
    """Save an untrained captioner, all of whose words are those of the squares of tests.photos."""
    torch.manual_seed(0)
    captions = [caption for colour in COLOURS for side in ("left", "right") for caption in captions_of(colour, side)]
    vocabulary = Vocabulary.build(captions, 1)
    decoder = DecoderConfig(len(vocabulary), width * 32, embedding, hidden, attention=embedding, dropout=dropout)
    config = Config(decoder, encoder_width=width, encoder_blocks=BLOCKS)
    return checkpoints.save(checkpoints.create(config, vocabulary), folder, {})


def tiny_checkpoint(folder: Path, seed: int = 0) -> Path:
    """Save it to `folder`; another seed gives other captions."""
    return checkpoints.save(tiny(seed), folder, {"seed": seed})
