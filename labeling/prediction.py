"""One caption in the shape that Label Studio stores as a prediction and shows in a TextArea.

    prediction(field, "a brown dog runs", 0.61, "v3")
    {"model_version": "v3", "score": 0.61, "result": [{"id": …, "from_name": "caption", "to_name": "image",
     "type": "textarea", "origin": "prediction", "score": 0.61, "value": {"text": ["a brown dog runs"]}}]}

`origin` must be there: the editor copies it into the annotation, which is how an untouched machine caption is told
from a corrected one later.
"""

import hashlib
import math
from collections.abc import Sequence
from statistics import fmean
from typing import Any

from labeling.config import REPEAT_INDEX, CaptionField


def prediction(
    field: CaptionField, caption: str, score: float, version: str, *, item_index: int | None = None
) -> dict[str, Any]:
    """The prediction that fills `field` with `caption`; `score` in [0, 1].

    `item_index` (from 0) names one picture of a task that has many: of a valueList, or of a Repeater, whose tags
    carry the index in their names. Raises ValueError for a score outside [0, 1] or NaN, and for an empty version.
    """
    _check(score, version)
    region = _region(field, caption, float(score), version, item_index)
    return {"model_version": version, "score": float(score), "result": [region]}


def joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One prediction out of those of a task's pictures: all regions, the mean score.

    Label Studio shows a list of predictions as rivals for one task, so the captions of several pictures must travel
    in one. Raises ValueError when there are none, or when two versions are mixed.
    """
    versions = {part["model_version"] for part in parts}
    if len(versions) != 1:
        raise ValueError(f"predictions of one model version can be joined, not of {sorted(versions) or 'none'}")
    regions = [region for part in parts for region in part["result"]]
    return {"model_version": versions.pop(), "score": fmean(part["score"] for part in parts), "result": regions}


def _region(field: CaptionField, caption: str, score: float, version: str, item_index: int | None) -> dict[str, Any]:
    from_name, to_name = _numbered(field.from_name, item_index), _numbered(field.to_name, item_index)
    region: dict[str, Any] = {
        "id": _identifier(from_name, to_name, str(item_index), version, caption),
        "from_name": from_name,
        "to_name": to_name,
        "type": "textarea",
        "origin": "prediction",
        "score": score,
        "value": {"text": [caption]},
    }
    if item_index is not None and not field.repeated:
        region["item_index"] = item_index
    return region


def _numbered(name: str, item_index: int | None) -> str:
    return name.replace(REPEAT_INDEX, str(item_index or 0))


def _identifier(*parts: str) -> str:
    # Stable, so that asking twice gives the same region: annotations keep the id, and training can match on it.
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:10]


def _check(score: float, version: str) -> None:
    if math.isnan(score) or not 0.0 <= score <= 1.0:
        raise ValueError(f"score is {score!r}; Label Studio takes a number from 0 to 1")
    if not version:
        raise ValueError("version is empty; without it Label Studio asks again for every task it opens")
