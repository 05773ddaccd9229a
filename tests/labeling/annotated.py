"""Annotated tasks in the shape that Label Studio 1.23.2 lists them in, for the tests of this room."""

from typing import Any

MORNING = "2026-11-24T06:50:00Z"
Row = dict[str, Any]


def region(*texts: Any, origin: str | None = "manual", name: str = "caption", to: str = "image", **more: Any) -> Row:
    """One region as the editor sends it; without an origin for None."""
    told = {} if origin is None else {"origin": origin}
    about = {"id": "89c54a80ff", "from_name": name, "to_name": to, "type": "textarea"}
    return about | told | {"value": {"text": list(texts)}} | more


def annotation(number: int, *regions: Row, by: Any = 1, at: str = MORNING, **more: Any) -> Row:
    """One annotation: submitted by a person who took seven seconds, from no prediction."""
    return {
        "id": number,
        "result": list(regions),
        "completed_by": by,
        "was_cancelled": False,
        "ground_truth": False,
        "updated_at": at,
        "lead_time": 7.1,
        "bulk_created": False,
        "parent_prediction": None,
    } | more


def task(number: int, *annotations: Row, data: Row | None = None, at: str = MORNING) -> Row:
    """One task with its annotations."""
    data = {"captioning": f"/data/upload/1/{number}.jpg"} if data is None else data
    return {"id": number, "data": data, "annotations": list(annotations), "predictions": [], "updated_at": at}
