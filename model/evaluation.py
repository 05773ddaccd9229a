"""A captioner against a split: what `python -m model evaluate` writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from model.behaviour import behaviour
from model.captioner import Caption, Captioner
from model.cider import cider_d_each
from model.datasets import Dataset, Example
from model.features import sound_batches
from model.metrics import SIGNATURE, Scores, score, words
from model.preprocess import to_float
from model.progress import Progress

BATCH = 16


def caption_split(
    captioner: Captioner, dataset: Dataset, beam: int, *, attention: bool = False
) -> list[tuple[Example, Caption]]:
    """Caption every image of the split that decodes; the torn ones go to `dataset.problems`."""
    captioned: list[tuple[Example, Caption]] = []
    with Progress(f"captions {dataset.name} {dataset.split}", len(dataset.examples)) as progress:
        for sound in sound_batches(dataset, BATCH):
            captions = captioner.caption([to_float(pixels) for _, pixels in sound], beam=beam, attention=attention)
            captioned += [(example, caption) for (example, _), caption in zip(sound, captions, strict=True)]
            progress.advance(len(sound))
    return captioned


def report(captioned: Sequence[tuple[Example, Caption]], captioner: Captioner, beam: int) -> dict[str, Any]:
    """Figures x100, and every caption, so that any other metric can be computed from the same run."""
    texts, references = [c.text for _, c in captioned], [example.captions for example, _ in captioned]
    scores: Scores = score(texts, references)
    each = cider_d_each([words(text) for text in texts], [[words(r) for r in group] for group in references])
    return {
        "bleu": list(scores.bleu),
        "cider": scores.cider,
        "rouge_l": scores.rouge_l,
        "brevity_penalty": scores.brevity_penalty,
        "images": len(captioned),
        "beam": beam,
        "signature": SIGNATURE,
        "confidence": dict(scores.confidence),
        "behaviour": asdict(behaviour(texts)),
        "version": captioner.version,
        "captions": [
            {"image": example.name, "caption": caption.text, "score": round(caption.score, 4), "cider": cider * 100}
            for (example, caption), cider in zip(captioned, each, strict=True)
        ],
    }


def summary(figures: Mapping[str, Any]) -> list[str]:
    """The figures of `report` as lines to print."""
    bleu = "  ".join(f"BLEU-{order} {value:.2f}" for order, value in enumerate(figures["bleu"], 1))
    low, high = figures["confidence"]["bleu4"]
    said, images = figures["behaviour"], figures["images"]
    share = {kind: f"{100 * said[kind] / images:.1f} %" for kind in ("unique", "looping", "dangling", "empty")}
    return [
        f"{bleu} (95 %: {low:.2f} to {high:.2f})  CIDEr {figures['cider']:.1f}  ROUGE-L {figures['rouge_l']:.1f}",
        f"{said['distinct_words']} distinct words, {share['unique']} unique captions, {share['looping']} repeat words, "
        f"{share['dangling']} break off, {share['empty']} empty",
        f"brevity penalty {figures['brevity_penalty']:.3f}  {figures['signature']}",
    ]
