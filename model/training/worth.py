"""The reward by which a checkpoint learns: set up by what people wrote, and by what the checkpoint says now."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from model.beam import beam_search
from model.checkpoint import Checkpoint
from model.training.batches import Source, epoch_batches
from model.training.reward import LinearBleu, Reward
from model.training.settings import TrainingSettings
from model.vocabulary import END

# Photos whose captions show how good served captions are.
SERVED, BATCH = 500, 50


def reward_of(
    settings: TrainingSettings, captions: Sequence[Sequence[str]], checkpoint: Checkpoint, source: Source
) -> Reward:
    """What a caption is worth. `captions` are people's, a group a photo: what is said of few of them counts more."""
    encode = checkpoint.vocabulary.encode
    documents = [[[*encode(caption), END] for caption in group] for group in captions]
    weight = settings.bleu_reward
    bleu = LinearBleu(weight, *served(checkpoint, source, settings)) if weight else None
    return Reward(documents, cider=settings.cider_reward, bleu=bleu)


def served(
    checkpoint: Checkpoint, source: Source, settings: TrainingSettings
) -> tuple[list[list[int]], list[list[list[int]]]]:
    """What the checkpoint says of some photos of the source, and what people say, as word indices with their end."""
    photos = epoch_batches(source, checkpoint.vocabulary, size=BATCH, seed=settings.seed, epoch=0)
    captions: list[list[int]] = []
    references: list[list[list[int]]] = []
    for batch in islice(photos, SERVED // BATCH):
        found = beam_search(checkpoint.decoder.eval(), batch.inputs, settings.validation_beam)
        captions += [[*hypothesis.tokens, END] for hypothesis in found]
        references += batch.references()
    return captions, references
