"""A picture of where the model looked: the photo once a word, bright where the attention was."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.captioner import Caption
from model.preprocess import SIZE, Photo

COLUMNS = 5


def spotlight(photo: Photo, look: NDArray[np.float32]) -> Photo:
    """The photo (224, 224, 3) dimmed where the attention (7, 7) was low."""
    smooth = cv2.resize(look, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC).clip(min=0)
    light = 0.15 + 0.85 * smooth / max(float(smooth.max()), 1e-9)
    return np.asarray(photo * light[:, :, None], dtype=np.float32).clip(0, 1)


def draw(photo: Photo, caption: Caption, path: Path) -> Path:
    """Write the picture of a caption made with `attention=True` to `path`, creating its folder."""
    if caption.attention is None:
        raise ValueError("the caption has no attention: call Captioner.caption(…, attention=True)")
    panels = [photo, *(spotlight(photo, look) for look in caption.attention)]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(2.2 * COLUMNS, 2.5 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(f"{caption.text} ({caption.score:.2f})")
    grid = figure.subplots(rows, COLUMNS, squeeze=False).flat
    titles = ["", *caption.words]
    for number, axes in enumerate(grid):
        axes.axis("off")
        if number < len(panels):
            axes.imshow(panels[number])
            axes.set_title(titles[number], fontsize=11)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    return path
