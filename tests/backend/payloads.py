"""Webhook bodies as Label Studio 1.23.2 posts them, shortened where a list repeats."""

from typing import Any

PROJECT: dict[str, Any] = {
    "id": 7,
    "title": "Photos",
    "label_config": "<View>…</View>",
    "parsed_label_config": {"caption": {"type": "TextArea"}},
    "model_version": "recaption-0123456789",
    "num_tasks_with_annotations": 3,
    "token": "project-secret-token",
    "task_data_login": "login",
    "task_data_password": "task-data-secret",
}


def region(origin: str | None = "prediction-changed", text: str = "a dog on a red sofa") -> dict[str, Any]:
    made = {
        "id": "a1b2c3",
        "from_name": "caption",
        "to_name": "image",
        "type": "textarea",
        "value": {"text": [text]},
    }
    return made if origin is None else {**made, "origin": origin}


def annotation(number: int = 11, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "result": [region()],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-11-20T10:00:00Z",
        "updated_at": "2026-11-20T10:00:00Z",
        "lead_time": 4.2,
        "prediction": {},
        "bulk_created": False,
        "task": 3,
        "project": 7,
        "completed_by": 1,
        "parent_prediction": 6,
        "parent_annotation": None,
        **changes,
    }


TASK: dict[str, Any] = {"id": 3, "data": {"captioning": "/data/upload/7/a.jpg"}, "project": 7}

CREATED = {"action": "ANNOTATION_CREATED", "annotation": annotation(), "project": PROJECT, "task": TASK}
UPDATED = {"action": "ANNOTATION_UPDATED", "annotation": annotation(), "project": PROJECT, "task": TASK}
SKIPPED = {**CREATED, "annotation": annotation(was_cancelled=True, result=[])}
ACCEPTED_IN_BULK = {
    "action": "ANNOTATIONS_CREATED",
    "annotation": [annotation(number, result=[region(origin)]) for number, origin in ((11, "prediction"), (12, None))],
    "task": [TASK, TASK],
    "project": PROJECT,
}
WRITTEN_IN_BULK = {**ACCEPTED_IN_BULK, "annotation": [annotation(11), annotation(12, result=[region("manual")])]}
DELETED = {"action": "ANNOTATIONS_DELETED", "annotations": [{"id": 11}, {"id": 12}, {"id": 13}], "project": PROJECT}
START_TRAINING = {"action": "START_TRAINING", "project": PROJECT}
PROJECT_UPDATED = {"action": "PROJECT_UPDATED", "project": PROJECT}
TASKS_CREATED = {"action": "TASKS_CREATED", "tasks": [TASK], "project": PROJECT}
TASKS_DELETED = {"action": "TASKS_DELETED", "tasks": [{"id": 3}], "project": PROJECT}
WITHOUT_PAYLOAD = {"action": "ANNOTATION_CREATED"}
WITHOUT_PROJECT = {"action": "ANNOTATION_CREATED", "annotation": annotation(), "task": TASK}
