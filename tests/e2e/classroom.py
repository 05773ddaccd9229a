"""A labelling project with something to learn: real photos, a champion with room above it, annotators at the API."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from labeling.session import LabelStudio
from model import checkpoint as checkpoints
from model.datasets import Example, load_dataset
from model.starter import STARTER
from tests.shared import FLICKR8K

REPLAYED, JUDGED, TASKS = 96, 160, 24
# How far from the starter's the decoder's weights are: it stammers, and a few dozen photos bring it back.
NOISE = 1.5


def photos() -> tuple[Sequence[Example], Sequence[Example], Sequence[Example]]:
    """Photos to replay, to judge by and to annotate, all different."""
    train, dev = (load_dataset(f"flickr8k:{FLICKR8K}", split).examples for split in ("train", "dev"))
    return train[:REPLAYED], dev[:JUDGED], dev[-TASKS:]


def base_dataset(folder: Path) -> str:
    """Some of Flickr8k in its own layout, small enough to caption in seconds: what BASE_DATASET names."""
    replayed, judged, _ = photos()
    (folder / "images").mkdir(parents=True)
    lines = []
    for split, examples in (("train", replayed), ("dev", judged)):
        (folder / f"Flickr_8k.{split}Images.txt").write_text("\n".join(one.name for one in examples) + "\n")
        for one in examples:
            (folder / "images" / one.name).symlink_to(one.path)
            lines += [f"{one.name}#{number}\t{caption}" for number, caption in enumerate(one.captions)]
    (folder / "Flickr8k.token.txt").write_text("\n".join(lines) + "\n")
    return f"flickr8k:{folder}"


def stammering(folder: Path) -> Path:
    """The starter with noise on its decoder: a real captioner that is worse than it could be."""
    starter = checkpoints.load(STARTER)
    worse = copy.deepcopy(starter)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in worse.decoder.parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            parameter.add_(noise * parameter.std() * NOISE)
    return checkpoints.save(worse, folder, {"seed": 1})


@dataclass(frozen=True)
class Annotators:
    """People at work on a project, by the calls that the editor makes."""

    api: LabelStudio
    project: int

    def draft(self, task: int) -> dict[str, Any]:
        """Open the task: its newest prediction."""
        predictions = self.api.get(f"/api/tasks/{task}/")["predictions"]
        newest: dict[str, Any] = max(predictions, key=lambda prediction: prediction["id"])
        return newest

    def edit(self, task: int, text: str) -> int:
        return self._submit(task, text, "prediction-changed")

    def accept(self, task: int) -> int:
        return self._submit(task, None, "prediction")

    def skip(self, task: int) -> int:
        return self._submit(task, None, "prediction", was_cancelled=True)

    def delete(self, annotation: int) -> None:
        self.api.delete(f"/api/annotations/{annotation}/")

    def accept_in_bulk(self, tasks: Sequence[int]) -> None:
        """The Data Manager's "Create annotations from predictions"."""
        selected = {"selectedItems": {"all": False, "included": list(tasks)}}
        self.api.post("/api/dm/actions", selected, {"id": "predictions_to_annotations", "project": self.project})

    def _submit(self, task: int, text: str | None, origin: str, **more: Any) -> int:
        draft = self.draft(task)
        region = {**draft["result"][0], "origin": origin}
        if text is not None:
            region["value"] = {"text": [text]}
        body = {"result": [region], "lead_time": 9.5, "parent_prediction": draft["id"], **more}
        return int(self.api.post(f"/api/tasks/{task}/annotations/", body)["id"])
