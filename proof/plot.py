"""The two pictures in the documents: the learning curve, and what a domain shift costs and a retraining wins back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

Lines = Sequence[Mapping[str, Any]]
COLOURS = {"random": "tab:blue", "active": "tab:orange", "naive": "tab:red"}
LABELS = {
    "random": "corrections, random order",
    "active": "corrections, model.acquisition's order",
    "naive": "no replay, no gate",
}


def draw_curve(arms: Mapping[str, Lines], scratch: Mapping[str, Mapping[str, Any]], start: int, path: Path) -> Path:
    """BLEU-4 of what serves, and the words that an annotator must change, over photos learnt from."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    bleu, edits = figure.subplots(1, 2)
    for arm, lines in arms.items():
        photos = [start, *(line["photos"] for line in lines)]
        served = [scratch["start"]["bleu4"], *(line["served_bleu4"] for line in lines)]
        bleu.step(photos, served, where="post", color=COLOURS[arm], label=LABELS[arm])
        swaps = [(line["photos"], line["served_bleu4"]) for line in lines if line["promoted"]]
        bleu.plot(*zip(*swaps, strict=True), "o", color=COLOURS[arm], markersize=4) if swaps else None
        after = [line["effort"]["aside"]["edits"] for line in lines]
        edits.plot(photos[1:], after, ".-", color=COLOURS[arm], label=LABELS[arm])
    for arm in ("random", "active"):
        ends = [scratch["start"], scratch[arm]]
        photos, figures = [end["photos"] for end in ends], [end["bleu4"] for end in ends]
        bleu.plot(photos, figures, "s--", color=COLOURS[arm], alpha=0.5, label=f"from scratch, {arm} order's photos")
    finish(bleu, "photos learnt from", "BLEU-4 on Flickr8k dev (dots: swaps)")
    finish(edits, "photos learnt from", "words to change in a draft, unseen photos")
    figure.savefig(path, dpi=110)
    return path


def finish(axes: Axes, x: str, y: str) -> None:
    axes.set(xlabel=x, ylabel=y)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
