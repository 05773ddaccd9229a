"""Where a task names its pictures: the Image tag's value, read against the task's data.

value="$photo"             {"photo": "/data/upload/1/a.jpg"}          a column
value="$meta.url"          {"meta": {"url": …}}                       a path into nested data
value="$pages[0].url"      {"pages": [{"url": …}]}                    with list indices
value="http://x/$id.jpg"   {"id": 7}                                  a template
valueList="$photos"        {"photos": [a, b]}                         several pictures
(no such column)           {"$undefined$": …}                         tasks imported as bare addresses
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from labeling.config import REPEAT_INDEX, CaptionField

# Tasks imported without column names keep their one value under this key.
UNDEFINED = "$undefined$"

_VARIABLE = re.compile(r"\$([\w-]+(?:\.[\w-]+|\[\d+\])*)")
_STEP = re.compile(r"\.?[\w-]+|\[\d+\]")


class TaskError(ValueError):
    """This task names no picture where the label config says it should. The message names keys, never data."""


def image_uris(task: Mapping[str, Any], field: CaptionField) -> list[str]:
    """The addresses of the task's pictures as Label Studio stores them: one, or as many as `field.many` finds.

    Raises TaskError when the data lacks the key, or holds something else than an address there.
    """
    data = task.get("data")
    if not isinstance(data, Mapping):
        raise TaskError(f"Task {task.get('id')} has no data object.")
    if field.repeated:
        return [_address(_evaluated(value, data), value) for value in _repeats(field.value, data)]
    found = _evaluated(field.value, data)
    if isinstance(found, Sequence) and not isinstance(found, str):
        if not found:
            raise TaskError(f"{field.value!r} is an empty list in this task: there is no picture to describe.")
        return [_address(item, field.value) for item in (found if field.many else found[:1])]
    return [_address(found, field.value)]


def _repeats(value: str, data: Mapping[str, Any]) -> list[str]:
    path, _, _ = value.partition(f"[{REPEAT_INDEX}]")
    items = _evaluated(path, data)
    if not isinstance(items, list) or not items:
        raise TaskError(f"{path!r} must be a list with at least one item, found {_kind(items)}.")
    return [value.replace(REPEAT_INDEX, str(index)) for index in range(len(items))]


def _evaluated(value: str, data: Mapping[str, Any]) -> Any:
    """`value` as a whole where it is one variable, or with its variables filled in where it is a template."""
    if value.startswith("$") and value[1:] in data:
        return data[value[1:]]
    if value == UNDEFINED or _VARIABLE.fullmatch(value):
        return _looked_up(value, data)
    return _VARIABLE.sub(lambda match: _filled(match[1], data), value)


def _looked_up(value: str, data: Mapping[str, Any]) -> Any:
    found = _walk(value[1:], data)
    if found is None and UNDEFINED in data:
        return data[UNDEFINED]
    if found is None:
        keys = ", ".join(sorted(map(str, data))[:20]) or "none"
        raise TaskError(f"The label config reads {value!r}, which this task's data lacks. Its keys: {keys}.")
    return found


def _filled(path: str, data: Mapping[str, Any]) -> str:
    # In "$id.jpg" only "id" is a key: the longest path that leads somewhere is the variable, the rest is text.
    steps = _STEP.findall(path)
    for length in range(len(steps), 0, -1):
        found = _walk("".join(steps[:length]), data)
        if isinstance(found, str | int | float):
            return f"{found}{''.join(steps[length:])}"
    return str(_looked_up(f"${path}", data))


def _walk(path: str, data: Mapping[str, Any]) -> Any:
    here: Any = data
    for step in _STEP.findall(path):
        if step.startswith("["):
            index = int(step[1:-1])
            here = here[index] if isinstance(here, list) and index < len(here) else None
        else:
            here = here.get(step.removeprefix(".")) if isinstance(here, Mapping) else None
    return here


def _address(found: Any, value: str) -> str:
    if not isinstance(found, str) or not found.strip():
        raise TaskError(f"{value!r} must lead to the address of a picture in this task, found {_kind(found)}.")
    return found.strip()


def _kind(found: Any) -> str:
    return "an empty text" if isinstance(found, str) else "nothing" if found is None else f"{type(found).__name__}"
