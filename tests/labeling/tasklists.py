"""A stand-in for Label Studio's lists of tasks, filtered as 1.23.2 was seen to do; tests/e2e asks the real one."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from labeling.annotations import moment
from tests.labeling.annotated import Row
from tests.labeling.configs import OFFICIAL
from tests.labeling.servers import Asked, Reply, as_json

Check = Callable[[Row, Any], bool]
CHECKS: dict[tuple[str, str], Check] = {
    ("id", "greater"): lambda task, value: task["id"] > value,
    ("annotations_ids", "greater"): lambda task, value: any(said["id"] > value for said in task["annotations"]),
    ("annotations_ids", "empty"): lambda task, value: bool(value == "true") == (not task["annotations"]),
    ("updated_at", "greater"): lambda task, value: moment(task["updated_at"]) > moment(value),
}


class TaskLists:
    """One project, number 7. `listed` counts the tasks that were sent; `limit` is the most that a page may hold."""

    def __init__(self, *tasks: Row, label_config: str = OFFICIAL) -> None:
        self.tasks = list(tasks)
        self.label_config = label_config
        self.limit = 1000
        self.listed = 0
        self.before_page: Callable[[], None] = lambda: None

    def __call__(self, asked: Asked) -> Reply:
        address = urlsplit(asked.path)
        if address.path == "/api/projects/7/":
            return as_json({"id": 7, "label_config": self.label_config})
        assert address.path == "/api/tasks", address.path
        return self._page({name: values[0] for name, values in parse_qs(address.query).items()})

    def _page(self, asked: dict[str, str]) -> Reply:
        self.before_page()
        assert (asked["project"], asked["fields"], asked["resolve_uri"]) == ("7", "all", "false")
        query = json.loads(asked["query"])
        found = [task for task in self.tasks if all(_passes(task, each) for each in _filters(query))]
        found.sort(key=lambda task: int(task["id"]))
        if "ordering" in query:
            assert query["ordering"] == ["-tasks:updated_at"]
            found.sort(key=lambda task: moment(task["updated_at"]), reverse=True)
        page = found[: min(int(asked["page_size"]), self.limit)]
        self.listed += len(page)
        wanted = set(asked["include"].split(","))
        return as_json({"total": len(found), "tasks": [_only(wanted, task) for task in page]})


def _filters(query: Row) -> list[Row]:
    filters = query.get("filters", {"conjunction": "and", "items": []})
    assert filters["conjunction"] == "and"
    return list(filters["items"])


def _passes(task: Row, each: Row) -> bool:
    name = each["filter"].removeprefix("filter:tasks:")
    return CHECKS[name, each["operator"]](task, each["value"])


def _only(wanted: set[str], task: Row) -> Row:
    """The fields that were asked for: one list for the task and for its annotations."""
    annotations = [{key: said[key] for key in said if key in {*wanted, "id"}} for said in task["annotations"]]
    kept = {key: task[key] for key in task if key in {*wanted, "id"}}
    return kept | ({"annotations": annotations} if "annotations" in wanted else {})
