from typing import Any

import pytest

from labeling.annotations import Correction, moment, read
from labeling.config import caption_field
from tests.labeling.annotated import Row, annotation, region, task
from tests.labeling.configs import OFFICIAL, REPEATER

FIELD = caption_field(OFFICIAL)
MANY = caption_field('<View><TextArea name="caption" toName="image"/><Image name="image" valueList="$photos"/></View>')
PHOTOS = {"photos": ["s3://b/0.jpg", "s3://b/1.jpg"]}
PAGES = {"images": [{"url": "s3://b/0.jpg"}, {"url": "s3://b/1.jpg"}]}
EDITED = "prediction-changed"


def learnt(*annotations: Row) -> list[tuple[str, ...]]:
    return [said.captions for said in read(task(3, *annotations), FIELD).corrections]


def counted(*annotations: Row) -> dict[str, int]:
    """What is excluded; then nothing may be learnt."""
    reading = read(task(3, *annotations), FIELD)
    assert reading.corrections == ()
    return dict(reading.excluded)


def test_a_correction_says_who_wrote_what_about_which_picture_and_when() -> None:
    said = annotation(9, region("a dog", origin=EDITED), by=4, parent_prediction=2)
    (found,) = read(task(3, said), FIELD).corrections
    assert found == Correction(
        task=3,
        annotator=4,
        annotation=9,
        updated_at="2026-11-24T06:50:00.000000+00:00",
        origin="prediction-changed",
        uri="/data/upload/1/3.jpg",
        item=None,
        captions=("a dog",),
    )


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        ({"origin": "manual"}, "manual"),
        ({"origin": EDITED}, EDITED),
        ({"origin": None}, "manual"),
        ({"origin": None, "lead_time": None}, "manual"),
        ({"origin": EDITED, "lead_time": None}, EDITED),
        ({"origin": EDITED, "ground_truth": True}, EDITED),
    ],
)
def test_what_people_wrote_is_learnt(told: Row, origin: str) -> None:
    said = annotation(9, region("a dog", origin=told["origin"]), **{key: told[key] for key in told if key != "origin"})
    (found,) = read(task(3, said), FIELD).corrections
    assert found.origin == origin


@pytest.mark.parametrize(
    "more",
    [
        {"lead_time": None, "parent_prediction": 6},
        {"lead_time": None, "parent_prediction": None},
        {"bulk_created": True},
    ],
)
def test_a_bulk_action_is_not_learnt(more: Row) -> None:
    assert counted(annotation(9, region("machine", origin="prediction"), **more)) == {"bulk_accepted": 1}


def test_a_bulk_action_on_predictions_without_origin_is_not_learnt() -> None:
    said = annotation(9, region("machine", origin=None), lead_time=None, parent_prediction=6)
    assert counted(said) == {"bulk_accepted": 1}


def test_a_text_given_to_many_tasks_at_once_is_not_learnt() -> None:
    assert counted(annotation(9, region("a photo"), bulk_created=True)) == {"bulk_accepted": 1}


def test_an_accepted_caption_is_kept_apart() -> None:
    reading = read(task(3, annotation(9, region("machine", origin="prediction"), parent_prediction=6)), FIELD)
    assert reading.corrections == ()
    assert reading.excluded == {"accepted": 1}
    assert [(said.captions, said.origin) for said in reading.accepted] == [(("machine",), "prediction")]


def test_a_skipped_task_keeps_the_machines_caption_and_is_not_learnt() -> None:
    skipped = annotation(9, region("machine", origin=EDITED), was_cancelled=True, parent_prediction=6)
    assert counted(skipped, annotation(10, was_cancelled=True)) == {"skipped": 2}


@pytest.mark.parametrize("value", [{"text": [""]}, {"text": [" \n\t"]}, {"text": []}, {"text": None}, {}, None])
def test_blank_text_is_not_learnt(value: Any) -> None:
    assert counted(annotation(9, region(origin=EDITED) | {"value": value})) == {"blank": 1}


@pytest.mark.parametrize("result", [[], None])
def test_an_empty_annotation_is_blank(result: Any) -> None:
    assert counted(annotation(9) | {"result": result}) == {"blank": 1}


def test_white_space_is_tidied_and_line_breaks_become_spaces() -> None:
    assert learnt(annotation(9, region("  a dog\nruns\r\n on grass \n"))) == [("a dog runs on grass",)]


def test_a_text_that_is_no_list_is_read() -> None:
    assert learnt(annotation(9, region() | {"value": {"text": "a dog"}})) == [("a dog",)]


def test_of_several_texts_the_last_corrects_the_machines_first() -> None:
    assert learnt(annotation(9, region("machine", "a dog", origin=EDITED))) == [("a dog",)]


def test_of_several_typed_texts_each_is_a_reference() -> None:
    assert learnt(annotation(9, region("a dog", " ", "a brown dog", "a dog"))) == [("a dog", "a brown dog")]


def test_a_typed_text_beside_the_machines_is_learnt_alone() -> None:
    both = annotation(9, region("machine", origin="prediction"), region("a dog"))
    (found,) = read(task(3, both), FIELD).corrections
    assert (found.captions, found.origin) == (("a dog",), "manual")


def test_the_latest_of_an_annotator_counts_whatever_the_order_and_the_spelling_of_the_time() -> None:
    latest = annotation(9, region("latest"), at="2026-11-24T06:50:01Z")
    older = annotation(10, region("older"), at="2026-11-24T06:50:00.999999Z")
    elsewhere = annotation(8, region("oldest"), at="2026-11-24T07:49:59.5+01:00")
    reading = read(task(3, latest, elsewhere, older), FIELD)
    assert [said.captions for said in reading.corrections] == [("latest",)]
    assert reading.excluded == {"superseded": 2}


def test_several_annotators_give_several_references() -> None:
    assert learnt(annotation(9, region("one"), by=1), annotation(10, region("two"), by={"id": 2})) == [
        ("one",),
        ("two",),
    ]


def test_deleted_accounts_replace_nobodys_text() -> None:
    reading = read(task(3, annotation(9, region("one"), by=None), annotation(10, region("two"), by=None)), FIELD)
    assert [(said.captions, said.annotator) for said in reading.corrections] == [(("one",), 0), (("two",), 0)]


@pytest.mark.parametrize(
    "later",
    [
        annotation(10, region("machine", origin="prediction"), at="2026-11-25T00:00:00Z", lead_time=None),
        annotation(10, region("machine", origin="prediction"), at="2026-11-25T00:00:00Z", was_cancelled=True),
        annotation(10, region("loud", name="mood"), at="2026-11-25T00:00:00Z"),
    ],
)
def test_a_later_bulk_action_skip_or_other_field_does_not_undo_a_correction(later: Row) -> None:
    assert learnt(annotation(9, region("a dog", origin=EDITED)), later) == [("a dog",)]


@pytest.mark.parametrize("text", ["machine", ""])
def test_a_later_accepted_or_blank_text_does(text: str) -> None:
    later = annotation(10, region(text, origin="prediction"), at="2026-11-25T00:00:00Z")
    assert counted(annotation(9, region("a dog")), later)["superseded"] == 1


def test_regions_of_other_controls_are_counted() -> None:
    choice = {"from_name": "mood", "to_name": "image", "type": "choices", "value": {"choices": ["loud"]}}
    reading = read(task(3, annotation(9, region("a dog"), choice, region("x", name="old"))), FIELD)
    assert [said.captions for said in reading.corrections] == [("a dog",)]
    assert reading.excluded == {"other_field": 2}
    assert counted(annotation(9, region("x", name="old"), region("y", to="other"), {"unknown": 1})) == {
        "other_field": 3
    }


@pytest.mark.parametrize("data", [{}, {"captioning": ""}, {"captioning": 5}])
def test_a_task_without_a_picture_is_counted(data: Row) -> None:
    reading = read(task(3, annotation(9, region("a dog")), data=data), FIELD)
    assert (reading.corrections, reading.excluded) == ((), {"no_picture": 1})


def test_each_picture_of_a_task_has_its_own_correction() -> None:
    first, second = region("zero", item_index=0), region("one", origin=EDITED, item_index=1)
    found = read(task(3, annotation(9, first, second), data=PHOTOS), MANY).corrections
    assert [(said.item, said.uri, said.captions, said.origin) for said in found] == [
        (0, "s3://b/0.jpg", ("zero",), "manual"),
        (1, "s3://b/1.jpg", ("one",), EDITED),
    ]


def test_what_a_picture_is_told_last_replaces_nothing_told_of_another() -> None:
    before = annotation(9, region("zero", item_index=0), region("one", item_index=1))
    after = annotation(10, region("new one", item_index=1), at="2026-11-25T00:00:00Z")
    reading = read(task(3, before, after, data=PHOTOS), MANY)
    assert [said.captions for said in reading.corrections] == [("zero",), ("new one",)]
    assert reading.excluded == {"superseded": 1}


@pytest.mark.parametrize("more", [{}, {"item_index": None}, {"item_index": 2}, {"item_index": -1}, {"item_index": "0"}])
def test_a_text_that_does_not_say_which_picture_is_counted(more: Row) -> None:
    reading = read(task(3, annotation(9, region("a dog", **more)), data=PHOTOS), MANY)
    assert (reading.corrections, reading.excluded) == ((), {"no_picture": 1})


def test_of_one_picture_it_need_not_say() -> None:
    (found,) = read(task(3, annotation(9, region("a dog")), data={"photos": ["s3://b/0.jpg"]}), MANY).corrections
    assert (found.item, found.uri) == (0, "s3://b/0.jpg")


def test_the_tags_of_a_repeater_say_which_picture() -> None:
    first, second = (region(f"page {index}", name=f"cap_{index}", to=f"page_{index}") for index in (1, 0))
    mixed = region("neither", name="cap_0", to="page_1")
    reading = read(task(3, annotation(9, first, second, mixed), data=PAGES), caption_field(REPEATER))
    assert {(said.item, said.uri, said.captions) for said in reading.corrections} == {
        (1, "s3://b/1.jpg", ("page 1",)),
        (0, "s3://b/0.jpg", ("page 0",)),
    }
    assert reading.excluded == {"other_field": 1}


def test_times_compare_across_their_spellings() -> None:
    assert moment("2026-11-24T06:50:01Z") > moment("2026-11-24T06:50:00.999999Z")
    assert moment("2026-11-24T06:50:01") == moment("2026-11-24T07:50:01.000000+01:00")
