"""Self-critical training: what a caption is worth, what is sampled, and that what is worth more is said more."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from model.cider import CiderD
from model.decoder import Decoder, DecoderConfig
from model.metrics import bleu4, bleu_statistics
from model.training.batches import LONGEST, collate
from model.training.reward import LinearBleu, Reward
from model.training.selfcritical import SelfCritical, policy_loss, sample
from model.vocabulary import END, PAD, START, UNKNOWN, Vocabulary

TEXTS = [
    ("a dog runs through the grass", "a black dog runs fast", "the dog is running"),
    ("two men play football", "men play with a ball on the grass", "two players and a ball"),
    ("a girl jumps into the water", "the girl is in the water", "a child jumps"),
]
VOCABULARY = Vocabulary.build([caption for group in TEXTS for caption in group], 1)
IMAGES = [[[*VOCABULARY.encode(caption), END] for caption in group] for group in TEXTS]


@pytest.fixture
def decoder() -> Decoder:
    torch.manual_seed(3)
    return Decoder(DecoderConfig(len(VOCABULARY), channels=16, embedding=12, hidden=20, attention=12, dropout=0.2))


@pytest.fixture
def grid() -> torch.Tensor:
    return torch.randn(3, 49, 16, generator=torch.Generator().manual_seed(5))


def spoken(text: str, *, whole: bool = True) -> list[int]:
    return [*VOCABULARY.encode(text), END] if whole else VOCABULARY.encode(text)


LONG = ("a black dog runs fast through the grass", "men play with a ball on", "the girl is in the water")
SHORT = ("a dog runs through the grass", "men play with a ball", "the girl is in the")


@pytest.mark.parametrize(("texts", "penalty"), [(LONG, False), (SHORT, True)])
def test_gains_are_the_slope_of_the_corpus_bleu(texts: tuple[str, ...], penalty: bool) -> None:
    """A little more of one caption moves log BLEU-4 by that little times its gain."""
    captions = [spoken(text) for text in texts]
    statistics = bleu_statistics(captions, IMAGES)
    assert bool(statistics[:, 8].sum() < statistics[:, 9].sum()) is penalty
    assert statistics[:, 8].sum() != statistics[:, 9].sum()  # where the penalty begins there is no slope
    gains = LinearBleu(2.0, captions, IMAGES).gains(captions, IMAGES)
    little = 1e-5
    for row, gain in enumerate(gains):
        more = statistics.sum(0) + little * statistics[row]
        slope = (np.log(bleu4(more)) - np.log(bleu4(statistics.sum(0)))) / little
        assert 2 * slope == pytest.approx(gain / len(texts), abs=1e-3)


@pytest.mark.parametrize("cider", [1.0, 0.0])
def test_a_caption_that_breaks_off_is_worth_less(cider: float) -> None:
    whole, cut = spoken("the dog is running"), spoken("the dog is running", whole=False)
    dangling = spoken("the dog is running a", whole=False)
    bleu = None if cider else LinearBleu(1.0, [spoken(text) for text in LONG], IMAGES)
    worth = Reward(IMAGES, cider=cider, bleu=bleu).worth([whole, cut, dangling], [IMAGES[0]])[0]
    assert worth[0] > worth[1] > worth[2]


def test_each_caption_is_held_against_its_own_image() -> None:
    reward = Reward(IMAGES, cider=1.0, bleu=None)
    captions = [spoken(TEXTS[image][0]) for image in (0, 1, 1, 0)]
    worth = reward.worth(captions, IMAGES[:2])
    assert worth.shape == (2, 2)
    assert worth[0, 0] > worth[0, 1] and worth[1, 0] > worth[1, 1]
    cider = CiderD(IMAGES)
    assert worth[1, 0] == pytest.approx(cider.score(captions[2], [cider.read(one) for one in IMAGES[1]]))


def test_samples_are_whole_captions_of_words(decoder: Decoder, grid: torch.Tensor) -> None:
    decoder.train()
    sampled = sample(decoder, grid, 40)
    assert decoder.training and len(sampled) == 3 * 40
    for caption in sampled:
        assert not {PAD, START, UNKNOWN} & set(caption) and END not in caption[:-1]
        assert caption[-1] == END or len(caption) == LONGEST + 1
    assert len({tuple(caption) for caption in sampled}) > 60


def test_samples_come_in_the_order_of_their_images(decoder: Decoder, grid: torch.Tensor) -> None:
    with torch.no_grad():
        decoder.output.weight *= 200  # so sure of every word that there is nothing to draw
    grid = 300 * grid
    alone = [sample(decoder, grid[[image]], 1)[0] for image in range(3)]
    assert sample(decoder, grid, 2) == [caption for caption in alone for _ in range(2)]
    assert len({tuple(caption) for caption in alone}) > 1


def test_what_is_worth_more_is_said_more(decoder: Decoder, grid: torch.Tensor) -> None:
    torch.manual_seed(1)
    batch = collate(grid, TEXTS, VOCABULARY)
    objective = SelfCritical(
        Reward(IMAGES, cider=1.0, bleu=LinearBleu(0.1, [spoken(text) for text in LONG], IMAGES)),
        samples=8,
        temperature=0.8,
    )

    def mean_worth() -> float:
        return float(Reward(IMAGES, cider=1.0, bleu=None).worth(sample(decoder, grid, 50), IMAGES).mean())

    before, optimizer = mean_worth(), torch.optim.Adam(decoder.parameters(), lr=1e-2)
    decoder.train()
    for _ in range(60):
        optimizer.zero_grad()
        objective.loss(decoder, grid, batch).backward()  # type: ignore[no-untyped-call]  # torch's own
        optimizer.step()
    assert mean_worth() > 2 * before


def test_the_loss_is_the_weighted_log_probability(decoder: Decoder, grid: torch.Tensor) -> None:
    decoder.eval()
    sampled, advantage = (
        [spoken("a dog"), spoken("the dog is running"), spoken("a girl")],
        torch.tensor([1.0, -2.0, 0.5]),
    )
    total, words = 0.0, 0
    memory = decoder.read(grid)
    for image, caption in enumerate(sampled):
        one = memory.select(torch.tensor([image]))
        state = decoder.begin(one)
        for word, following in zip([START, *caption], caption, strict=False):
            step = decoder.step(decoder.embed(torch.tensor([word])), state, one)
            total += advantage[image].item() * decoder.logits(step.output).log_softmax(-1)[0, following].item()
            state, words = step.state, words + 1
    assert policy_loss(decoder, grid, sampled, advantage).item() == pytest.approx(-total / words, rel=1e-4)
