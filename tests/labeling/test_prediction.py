import json
import math

import pytest

from labeling.config import CaptionField, caption_field
from labeling.prediction import joined, prediction
from tests.labeling.configs import OFFICIAL, REPEATER

FIELD = caption_field(OFFICIAL)


def test_a_prediction_has_the_shape_label_studio_shows() -> None:
    made = prediction(FIELD, "a brown dog runs on the beach", 0.61, "v3")
    region_id = made["result"][0].pop("id")
    assert made == {
        "model_version": "v3",
        "score": 0.61,
        "result": [
            {
                "from_name": "caption",
                "to_name": "image",
                "type": "textarea",
                "origin": "prediction",
                "score": 0.61,
                "value": {"text": ["a brown dog runs on the beach"]},
            }
        ],
    }
    assert isinstance(region_id, str) and len(region_id) == 10
    assert json.loads(json.dumps(made)) == made


def test_the_region_id_is_stable_for_a_text_and_version_and_differs_between_them() -> None:
    def region_id(caption: str, version: str, item_index: int | None = None) -> str:
        return str(prediction(FIELD, caption, 0.5, version, item_index=item_index)["result"][0]["id"])

    assert region_id("a dog", "v1") == region_id("a dog", "v1")
    others = {
        region_id("a cat", "v1"),
        region_id("a dog", "v2"),
        region_id("a dog", "v1", 0),
        region_id("a dog", "v1", 1),
    }
    assert len(others | {region_id("a dog", "v1")}) == 5


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.0001, 1.0001, -3.7])
def test_a_score_label_studio_would_refuse_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        prediction(FIELD, "a dog", score, "v1")


@pytest.mark.parametrize("score", [0, 0.0, 1, 1.0])
def test_the_ends_of_the_range_are_scores(score: float) -> None:
    assert prediction(FIELD, "a dog", score, "v1")["score"] == score


def test_an_empty_version_is_refused() -> None:
    with pytest.raises(ValueError, match="version is empty"):
        prediction(FIELD, "a dog", 0.5, "")


def test_a_picture_of_a_value_list_carries_its_index() -> None:
    field = CaptionField("caption", "image", "$images", many=True)
    region = prediction(field, "a dog", 0.5, "v1", item_index=2)["result"][0]
    assert (region["from_name"], region["to_name"], region["item_index"]) == ("caption", "image", 2)


def test_a_picture_in_a_repeater_is_named_by_its_index() -> None:
    region = prediction(caption_field(REPEATER), "a dog", 0.5, "v1", item_index=2)["result"][0]
    assert (region["from_name"], region["to_name"]) == ("cap_2", "page_2")
    assert "item_index" not in region


def test_the_pictures_of_one_task_travel_in_one_prediction() -> None:
    field = CaptionField("caption", "image", "$images", many=True)
    parts = [prediction(field, text, score, "v1", item_index=index) for index, (text, score) in enumerate(CAPTIONS)]
    whole = joined(parts)
    assert whole["model_version"] == "v1"
    assert whole["score"] == pytest.approx(0.6)
    assert [region["value"]["text"] for region in whole["result"]] == [["a dog"], ["a cat"]]
    assert [region["score"] for region in whole["result"]] == [0.8, 0.4]


CAPTIONS = [("a dog", 0.8), ("a cat", 0.4)]


def test_two_versions_are_not_joined() -> None:
    with pytest.raises(ValueError, match="one model version"):
        joined([prediction(FIELD, "a dog", 0.5, "v1"), prediction(FIELD, "a dog", 0.5, "v2")])
    with pytest.raises(ValueError, match="none"):
        joined([])
