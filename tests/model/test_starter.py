"""The checkpoint that ships: whole, within its limit, as good as its card says, and the product of its own training."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
from safetensors.torch import load_file

from model import checkpoint as checkpoints
from model.captioner import Captioner
from model.checkpoint import FILES
from model.datasets import load_dataset
from model.evaluation import caption_split, report
from model.preprocess import read_image
from model.starter import STARTER
from tests.shared import FLICKR8K, WEIGHTS, needs_flickr8k, needs_weights

CARD = STARTER / "README.md"


@pytest.fixture(scope="module")
def captioner() -> Captioner:
    return Captioner.load(STARTER, device="cpu")


@pytest.fixture(scope="module")
def manifest() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((STARTER / "manifest.json").read_text())
    return content


def test_it_is_whole_and_at_most_64_mib() -> None:
    checkpoints.load(STARTER)
    assert sum((STARTER / name).stat().st_size for name in (*FILES, "manifest.json")) <= 64 * 2**20


def test_the_card_states_the_figures_of_the_manifest(manifest: dict[str, Any]) -> None:
    card = CARD.read_text()
    validation = manifest["validation"]
    assert f"recaption-{manifest['id']}" in card
    power = validation["decoding"]["length_power"]
    for trial in (t for t in validation["trials"] if t["length_power"] == power and t["beam"] in (1, 3, 5)):
        figures = " | ".join(f"{value:.2f}" for value in trial["bleu"])
        assert f"| {trial['beam']} | {figures} | {trial['cider']:.1f} |" in card
    for word in ("non-commercial", "Flickr8k", "CC BY-NC", "known failures"):
        assert re.search(word, card, re.IGNORECASE)


@needs_flickr8k
def test_its_bleu_on_flickr8k_dev_is_what_it_states(captioner: Captioner, manifest: dict[str, Any]) -> None:
    """All 1,000 photos, from their bytes, at the checkpoint's own beam: at least 20.5, and the manifest's figure."""
    figures = report(
        caption_split(captioner, load_dataset(f"flickr8k:{FLICKR8K}", "dev"), captioner.beam), captioner, captioner.beam
    )
    assert figures["images"] == 1000 and captioner.beam in (3, 4, 5)
    assert figures["bleu"][3] >= 20.5
    assert figures["bleu"][3] == pytest.approx(manifest["validation"]["bleu"][3], abs=0.05)


@needs_flickr8k
def test_alone_and_in_a_batch_it_says_the_same_of_real_photos(captioner: Captioner) -> None:
    examples = load_dataset(f"flickr8k:{FLICKR8K}", "dev").examples[:16]
    photos = [read_image(example.path.read_bytes()) for example in examples]
    together = [caption.text for caption in captioner.caption(photos)]
    assert together == [captioner.caption([photo])[0].text for photo in photos] and len(set(together)) > 8


@needs_weights
def test_every_stage_of_its_encoder_was_fine_tuned() -> None:
    """What ships is what the training left, not the file that it began with: no convolution is as it was.

    Some batch-norm scales, of 15 and more, moved by less than float16 can tell.
    """
    ours = load_file(STARTER / "encoder.safetensors")
    theirs = load_file(WEIGHTS)
    for stage in ("conv1", "layer1", "layer2", "layer3", "layer4"):
        keys = [key for key, value in ours.items() if key.startswith(stage) and value.dim() == 4]
        assert keys and all(not np.array_equal(ours[key].numpy(), theirs[key].numpy()) for key in keys)


@needs_flickr8k
def test_its_words_come_from_the_train_split_alone(captioner: Captioner) -> None:
    from model.vocabulary import SPECIALS, tokenise

    train = {word for caption in load_dataset(f"flickr8k:{FLICKR8K}", "train").captions() for word in tokenise(caption)}
    assert set(captioner.vocabulary.words) - set(SPECIALS) <= train


@pytest.mark.parametrize("name", ["astronaut.png", "camera.png"])
def test_it_sees_a_person_in_free_photos_of_people(captioner: Captioner, name: str) -> None:
    photo = Path(skimage.__file__).parent / "data" / name
    [caption] = captioner.caption([read_image(photo.read_bytes())])
    assert re.search(r"\b(man|woman|boy|girl|person|child)\b", caption.text) and 0.05 < caption.score < 1
