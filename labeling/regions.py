"""The texts in one annotation: which picture each is about, and whether a person wrote it.

Label Studio keeps with each region where its text came from (`origin`): "manual" was typed, "prediction-changed" is a
machine's caption that somebody edited, "prediction" one that nobody touched.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from labeling.config import REPEAT_INDEX, CaptionField

Origin = Literal["manual", "prediction-changed", "prediction"]
ORIGINS: tuple[Origin, ...] = ("manual", "prediction-changed", "prediction")


def by_picture(
    annotation: Mapping[str, Any], field: CaptionField, pictures: int, excluded: Counter[str]
) -> dict[int, list[Mapping[str, Any]]]:
    """The caption field's regions by the picture they are about; `excluded` counts the others, and an empty result."""
    places = _places(field, pictures)
    found: dict[int, list[Mapping[str, Any]]] = {}
    others, nowhere = 0, 0
    for region in _regions(annotation):
        item = places.get((str(region.get("from_name")), str(region.get("to_name"))))
        if item is None:
            others += 1
        elif (item := _item(region, item, field, pictures)) is None:
            nowhere += 1
        else:
            found.setdefault(item, []).append(region)
    excluded["no_picture"] += nowhere
    excluded["other_field"] += others
    excluded["blank"] += not (found or nowhere or others)
    return found


def written(regions: Sequence[Mapping[str, Any]], annotation: Mapping[str, Any]) -> tuple[Origin, tuple[str, ...]]:
    """One picture's texts, and where they came from: where people wrote some, only those that they wrote."""
    origins = [_origin(region, annotation) for region in regions]
    machine = all(origin == "prediction" for origin in origins)
    texts: list[str] = []
    for origin, region in zip(origins, regions, strict=True):
        if origin == "prediction-changed":
            # A second box invites a second text: the machine's is still the first, the annotator's the last.
            texts += _texts(region)[-1:]
        elif machine or origin == "manual":
            texts += _texts(region)
    changed: Origin = "prediction-changed" if "prediction-changed" in origins else "manual"
    return "prediction" if machine else changed, tuple(dict.fromkeys(text for text in texts if text))


def _regions(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    result = annotation["result"]
    return [region for region in result if isinstance(region, Mapping)] if isinstance(result, list) else []


def _places(field: CaptionField, pictures: int) -> dict[tuple[str, str], int]:
    """Which picture a region is about by the names of its tags: in a Repeater each picture has tags of its own."""
    return {
        (field.from_name.replace(REPEAT_INDEX, str(index)), field.to_name.replace(REPEAT_INDEX, str(index))): index
        for index in range(pictures if field.repeated else 1)
    }


def _item(region: Mapping[str, Any], named: int, field: CaptionField, pictures: int) -> int | None:
    """The place of the picture that the region is about; None where it does not say which of several."""
    item = named if field.repeated or not field.many else region.get("item_index")
    if item is None and pictures == 1:
        return 0
    return item if isinstance(item, int) and 0 <= item < pictures else None


def _origin(region: Mapping[str, Any], annotation: Mapping[str, Any]) -> Origin:
    for known in ORIGINS:
        if region.get("origin") == known:
            return known
    # The editor always says. What does not was imported by people, or copied from a prediction that did not say.
    return "prediction" if annotation["parent_prediction"] else "manual"


def _texts(region: Mapping[str, Any]) -> list[str]:
    """The region's texts, each on one line."""
    value = region.get("value")
    found = value.get("text") if isinstance(value, Mapping) else None
    texts = found if isinstance(found, list) else [found]
    return [" ".join(text.split()) for text in texts if isinstance(text, str)]
