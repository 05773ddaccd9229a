"""A bulk's captions go into Label Studio by its import, and what is not stored there is answered or left."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from backend.handover import FEWEST, hand_over, pays
from labeling.session import LabelStudio
from tests.backend.desk import PROJECT, Desk, opened
from tests.labeling.annotated import region
from tests.labeling.servers import Asked, Reply, as_json

VERSION = "recaption-0123456789"
COUNT = FEWEST + 2
Row = dict[str, Any]


class Moody(Desk):
    """`reply` answers an import in the desk's place, told what the desk would have done; `asked` counts requests."""

    def __init__(self) -> None:
        super().__init__(COUNT)
        self.reply: Callable[[Callable[[], Reply]], Reply] = lambda do: do()
        self.asked = 0

    def __call__(self, asked: Asked) -> Reply:
        self.asked += 1
        return super().__call__(asked)

    def _import(self, rows: Sequence[Row]) -> Reply:
        return self.reply(lambda: super(Moody, self)._import(rows))


@pytest.fixture
def desk() -> Moody:
    return Moody()


@pytest.fixture
def studio(desk: Moody) -> Iterator[LabelStudio]:
    with opened(desk) as session:
        yield session


@pytest.fixture
def left() -> list[int]:
    return []


@pytest.fixture
def hand(desk: Moody, studio: LabelStudio, left: list[int]) -> Callable[[list[Any]], list[Any]]:
    def over(answers: list[Any]) -> list[Any]:
        return hand_over(studio, PROJECT, desk.tasks, answers, lambda tasks: left.extend(task["id"] for task in tasks))

    return over


def drafts(count: int = COUNT) -> list[Any]:
    text = [region("a dog", origin="prediction")]
    return [{"model_version": VERSION, "score": 0.5, "result": text} for _ in range(count)]


def test_a_bulk_is_stored_and_each_task_answered_with_nothing(
    desk: Moody, hand: Callable[[list[Any]], list[Any]], left: list[int]
) -> None:
    failed: list[Any] = [*drafts(COUNT - 1), []]
    assert hand(failed) == [[]] * COUNT
    assert desk.versions() == [[VERSION]] * (COUNT - 1) + [[]]
    assert [path for _, path, _ in desk.writes] == [f"/api/projects/{PROJECT}/import/predictions"]
    assert desk.predictions(1)[0]["result"] == drafts(1)[0]["result"] and not left


def test_a_few_are_answered_without_a_question(desk: Moody, hand: Callable[[list[Any]], list[Any]]) -> None:
    few: list[Any] = drafts(FEWEST - 1) + [[]] * (COUNT - FEWEST + 1)
    assert hand(few) == few and not desk.asked


@pytest.mark.parametrize("status", [400, 403, 500])
def test_what_label_studio_refuses_is_answered(
    desk: Moody, hand: Callable[[list[Any]], list[Any]], left: list[int], status: int
) -> None:
    desk.reply = lambda do: as_json({"detail": "no"}, status)
    assert hand(drafts()) == drafts() and not left


def test_what_an_import_drops_without_a_word_is_answered(
    desk: Moody, hand: Callable[[list[Any]], list[Any]], left: list[int]
) -> None:
    desk.reply = lambda do: as_json({"created": 0}, 201)
    assert hand(drafts()) == drafts() and not left


def test_where_some_were_dropped_the_background_sees_which(
    desk: Moody, hand: Callable[[list[Any]], list[Any]], left: list[int]
) -> None:
    desk.reply = lambda do: as_json({"created": COUNT - 3}, 201)
    assert hand(drafts()) == [[]] * COUNT
    assert left == list(range(1, COUNT + 1))


def test_a_task_without_a_number_is_answered_whatever_becomes_of_the_others(
    desk: Moody, studio: LabelStudio, left: list[int]
) -> None:
    desk.reply = lambda do: as_json({"created": COUNT - 3}, 201)
    tasks = [*desk.tasks, {"data": {}}]
    found = hand_over(studio, PROJECT, tasks, drafts(COUNT + 1), lambda some: left.extend(task["id"] for task in some))
    assert found == [[]] * COUNT + drafts(1) and left == list(range(1, COUNT + 1))


def test_where_the_answer_is_lost_nothing_is_stored_twice(
    desk: Moody, hand: Callable[[list[Any]], list[Any]], left: list[int]
) -> None:
    def stored_but_cut_off(do: Callable[[], Reply]) -> Reply:
        do()
        return Reply(201, headers={"Content-Length": "100"}, raw=lambda write: write(b"{"))

    desk.reply = stored_but_cut_off
    assert hand(drafts()) == [[]] * COUNT
    assert desk.versions() == [[VERSION]] * COUNT and left == list(range(1, COUNT + 1))


def test_without_the_number_of_tasks_nothing_is_imported(desk: Moody, hand: Callable[[list[Any]], list[Any]]) -> None:
    desk.away = True
    assert hand(drafts()) == drafts() and not desk.writes


def test_a_large_project_is_not_counted_anew_for_a_few() -> None:
    assert pays(50, 1000) and pays(1000, 1000) and pays(1000, 8000)
    assert not pays(50, 5000), "4 s of counting against 1.25 s of storing"
    assert not pays(4000, 3000), "more than is left until Label Studio gives up"
