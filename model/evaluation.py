"""A captioner against a split: what `python -m model evaluate` writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from model.captioner import Caption, Captioner
from model.datasets import Dataset, Example
from model.features import sound_batches
from model.metrics import SIGNATURE, Scores, score
from model.preprocess import to_float
from model.progress import Progress

BATCH = 16


def caption_split(captioner: Captioner, dataset: Dataset, beam: int) -> list[tuple[Example, Caption]]:
    """Caption every image of the split that decodes; the torn ones go to `dataset.problems`."""
    captioned: list[tuple[Example, Caption]] = []
    with Progress(f"captions {dataset.name} {dataset.split}", len(dataset.examples)) as progress:
        for sound in sound_batches(dataset, BATCH):
            captions = captioner.caption([to_float(pixels) for _, pixels in sound], beam=beam)
            captioned += [(example, caption) for (example, _), caption in zip(sound, captions, strict=True)]
            progress.advance(len(sound))
    return captioned


def report(captioned: Sequence[tuple[Example, Caption]], captioner: Captioner, beam: int) -> dict[str, Any]:
    """Figures x100, and every caption, so that any other metric can be computed from the same run."""
    scores: Scores = score([c.text for _, c in captioned], [example.captions for example, _ in captioned])
    return {
        "bleu": list(scores.bleu),
        "cider": scores.cider,
        "brevity_penalty": scores.brevity_penalty,
        "images": len(captioned),
        "beam": beam,
        "signature": SIGNATURE,
        "confidence": dict(scores.confidence),
        "version": captioner.version,
        "captions": [
            {"image": example.name, "caption": caption.text, "score": round(caption.score, 4)}
            for example, caption in captioned
        ],
    }
