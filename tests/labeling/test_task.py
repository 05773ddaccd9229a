import json
from pathlib import Path
from typing import Any

import pytest

from labeling.config import CaptionField, caption_field
from labeling.task import TaskError, image_uris
from tests.labeling.configs import REPEATER

RECORDED = json.loads((Path(__file__).parent / "payloads" / "predict.json").read_text())


def field(value: str, many: bool = False) -> CaptionField:
    return CaptionField("caption", "image", value, many)


def test_the_task_label_studio_sends() -> None:
    (task,) = RECORDED["tasks"]
    found = image_uris(task, caption_field(RECORDED["label_config"]))
    assert found == ["/data/upload/1/5f0c4a7e-harbour%20at%20dusk.jpg"]


@pytest.mark.parametrize(
    ("value", "data", "expected"),
    [
        ("$photo", {"photo": "s3://b/a.jpg"}, ["s3://b/a.jpg"]),
        ("$photo", {"photo": "  s3://b/a.jpg\n"}, ["s3://b/a.jpg"]),
        ("$photo", {"$undefined$": "http://x/a.jpg"}, ["http://x/a.jpg"]),
        ("$undefined$", {"$undefined$": "http://x/a.jpg"}, ["http://x/a.jpg"]),
        ("$photo", {"photo": "a", "$undefined$": "b"}, ["a"]),
        ("$meta.url", {"meta": {"url": "http://x/a.jpg"}}, ["http://x/a.jpg"]),
        ("$meta.url", {"meta.url": "http://x/flat.jpg", "meta": {"url": "nested"}}, ["http://x/flat.jpg"]),
        ("$pages[1].url", {"pages": [{"url": "a"}, {"url": "b"}]}, ["b"]),
        ("$rows[0][1]", {"rows": [["a", "b"]]}, ["b"]),
        ("$my photo", {"my photo": "a"}, ["a"]),
        ("$photo-url", {"photo-url": "a"}, ["a"]),
        ("http://x/$id", {"id": 7}, ["http://x/7"]),
        ("http://x/$id.jpg", {"id": 7}, ["http://x/7.jpg"]),
        (
            "http://x/$meta.id/$name.jpg?s=$size",
            {"meta": {"id": "k"}, "name": "n", "size": 3},
            ["http://x/k/n.jpg?s=3"],
        ),
        ("https://fixed/a.jpg", {}, ["https://fixed/a.jpg"]),
        ("$photos", {"photos": ["a", "b"]}, ["a"]),
    ],
)
def test_one_picture(value: str, data: dict[str, Any], expected: list[str]) -> None:
    assert image_uris({"id": 1, "data": data}, field(value)) == expected


@pytest.mark.parametrize(
    ("value", "data", "expected"),
    [
        ("$photos", {"photos": ["a", "b", "c"]}, ["a", "b", "c"]),
        ("$set.photos", {"set": {"photos": ["a", "b"]}}, ["a", "b"]),
        ("$photos", {"photos": "a"}, ["a"]),
    ],
)
def test_several_pictures(value: str, data: dict[str, Any], expected: list[str]) -> None:
    assert image_uris({"id": 1, "data": data}, field(value, many=True)) == expected


def test_the_pictures_of_a_repeater() -> None:
    task = {"id": 1, "data": {"images": [{"url": "a"}, {"url": "b"}]}}
    assert image_uris(task, caption_field(REPEATER)) == ["a", "b"]


@pytest.mark.parametrize(
    ("task", "value", "message"),
    [
        ({"id": 9}, "$photo", "Task 9 has no data"),
        ({"id": 9, "data": "x"}, "$photo", "Task 9 has no data"),
        ({"data": {"foto": "a", "id": 1}}, "$photo", r"'\$photo'.*lacks. Its keys: foto, id"),
        ({"data": {}}, "$photo", "Its keys: none"),
        ({"data": {"photo": ""}}, "$photo", "found an empty text"),
        ({"data": {"photo": 7}}, "$photo", "found int"),
        ({"data": {"photo": {"url": "a"}}}, "$photo", "found dict"),
        ({"data": {"photo": None}}, "$photo", "found nothing"),
        ({"data": {"photo": []}}, "$photo", "empty list"),
        ({"data": {"photo": [None]}}, "$photo", "found nothing"),
        ({"data": {"pages": []}}, "$pages[0]", "lacks"),
        ({"data": {"name": "n"}}, "http://x/$id", r"'\$id'.*lacks"),
    ],
)
def test_a_task_without_a_picture_says_which_key_is_wrong(task: dict[str, Any], value: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        image_uris(task, field(value))


@pytest.mark.parametrize("images", [[], "a", None, {"0": "a"}])
def test_a_repeater_needs_a_list(images: Any) -> None:
    with pytest.raises(TaskError, match=r"must be a list with at least one item|lacks"):
        image_uris({"id": 1, "data": {"images": images}}, caption_field(REPEATER))


def test_an_error_names_keys_and_never_data() -> None:
    with pytest.raises(TaskError) as caught:
        image_uris({"id": 1, "data": {"other": "https://x/?signature=secret"}}, field("$photo"))
    assert "secret" not in str(caught.value)
