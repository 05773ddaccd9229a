from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from labeling.config import LabelConfigError
from labeling.corrections import OVERLAP, Fresh, fresh, harvest
from labeling.session import LabelStudio, LabelStudioError
from tests.labeling.annotated import annotation, region, task
from tests.labeling.configs import TWO_LANGUAGES
from tests.labeling.servers import Reply, Server, as_json, serving
from tests.labeling.tasklists import TaskLists

NOON = datetime.fromisoformat("2026-11-24T12:00:00.500000+00:00")


def at(seconds: float) -> str:
    """A time by its distance from noon, as Label Studio writes it."""
    return (NOON + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")


def utc(seconds: float) -> str:
    return (NOON + timedelta(seconds=seconds)).isoformat(timespec="microseconds")


@pytest.fixture
def lists() -> TaskLists:
    """Ten tasks, of which every other one was corrected, a minute apart; the last one at noon."""
    corrected = [
        task(number, annotation(100 + number, region(f"photo {number}"), at=at(60.0 * (number - 9))), at=at(0))
        for number in range(1, 10, 2)
    ]
    return TaskLists(*corrected, *(task(number, at=at(0)) for number in range(2, 11, 2)))


@pytest.fixture
def server(lists: TaskLists) -> Iterator[Server]:
    with serving(lists) as running:
        yield running


@pytest.fixture
def studio(server: Server) -> LabelStudio:
    return LabelStudio(server.url, "legacy-token")


@pytest.mark.parametrize("page_size", [1, 2, 200])
def test_all_corrections_are_read_page_by_page(studio: LabelStudio, lists: TaskLists, page_size: int) -> None:
    told: list[tuple[int, int]] = []
    found = harvest(studio, 7, page_size=page_size, progress=lambda done, total: told.append((done, total)))
    assert [said.task for said in found.corrections] == [1, 3, 5, 7, 9]
    assert found.corrections[0].uri == "/data/upload/1/1.jpg"
    assert {total for _, total in told} == {5}
    assert told[-1] == (5, 5) and len(told) == -(-5 // page_size)
    # Only the annotated tasks are sent, and one to tell the time.
    assert lists.listed == 6


def test_a_page_that_is_shorter_than_asked_for_is_not_the_last(studio: LabelStudio, lists: TaskLists) -> None:
    lists.limit = 2
    assert len(harvest(studio, 7).corrections) == 5


def test_what_is_deleted_between_two_pages_hides_nothing(studio: LabelStudio, lists: TaskLists) -> None:
    asked: list[None] = []

    def remove_the_first() -> None:
        asked.append(None)
        if len(asked) == 3:
            del lists.tasks[0]

    lists.before_page = remove_the_first
    assert [said.task for said in harvest(studio, 7, page_size=2).corrections] == [1, 3, 5, 7, 9]


def test_reasons_are_added_up(studio: LabelStudio, lists: TaskLists) -> None:
    lists.tasks[1:5] = [
        task(3, annotation(103, was_cancelled=True)),
        task(5, annotation(105, region(""))),
        task(7, annotation(107, region("machine", origin="prediction"))),
        task(9, annotation(109, was_cancelled=True), annotation(110, region("machine", origin="prediction"), by=2)),
    ]
    found = harvest(studio, 7)
    assert [said.task for said in found.corrections] == [1]
    assert [said.task for said in found.accepted] == [7, 9]
    assert found.excluded == {"skipped": 2, "blank": 1, "accepted": 2}


def test_the_watermark_is_the_newest_change_and_the_recent_ones_lie_about_it(studio: LabelStudio) -> None:
    found = harvest(studio, 7)
    assert found.watermark == utc(0)
    # The one of exactly two minutes ago is outside: `fresh` looks at what came after that moment.
    assert timedelta(seconds=120) == OVERLAP
    assert found.recent == {"109": utc(0)}


def test_what_comes_in_while_pages_are_read_is_not_taken_for_known(studio: LabelStudio, lists: TaskLists) -> None:
    """Task 2 is behind the reader when it is corrected; task 9 is ahead, and is read with its correction."""
    asked: list[None] = []

    def correct_two() -> None:
        asked.append(None)
        if len(asked) == 4:
            lists.tasks.append(task(2, annotation(102, region("late"), at=at(300)), at=at(300)))
            lists.tasks[4] = task(9, annotation(109, region("late too"), at=at(301)), at=at(301))

    lists.before_page = correct_two
    lists.tasks = [each for each in lists.tasks if each["id"] != 2]
    found = harvest(studio, 7, page_size=1)
    assert [said.task for said in found.corrections] == [1, 3, 5, 7, 9]
    assert (found.watermark, found.recent) == (utc(0), {"109": utc(301)})
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(1, utc(300))


def test_an_empty_project_has_no_watermark(studio: LabelStudio, lists: TaskLists) -> None:
    lists.tasks = [task(1)]
    found = harvest(studio, 7)
    assert (found.corrections, found.accepted, found.excluded) == ((), (), {})
    assert (found.watermark, found.recent) == ("", {})
    lists.tasks = []
    assert harvest(studio, 7).watermark == ""
    assert fresh(studio, 7, since="", recent={}) == Fresh(0, None)


def test_nothing_is_fresh_after_a_harvest_and_it_takes_one_request(studio: LabelStudio, server: Server) -> None:
    found = harvest(studio, 7)
    server.asked.clear()
    assert fresh(studio, 7, since=at(3600), recent={}) == Fresh(0, None)
    assert len(server.asked) == 1
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(0, None)


def test_without_a_harvest_everything_is_fresh(studio: LabelStudio) -> None:
    assert fresh(studio, 7, since="", recent={}) == Fresh(5, utc(-480))


def test_only_tasks_that_changed_are_sent(studio: LabelStudio, lists: TaskLists) -> None:
    found = harvest(studio, 7)
    for each in lists.tasks:
        each["updated_at"] = at(-3600)
    lists.tasks[2] = task(5, annotation(201, region("newer"), at=at(30)), at=at(30))
    lists.listed = 0
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(1, utc(30))
    assert lists.listed == 1


def test_a_correction_that_was_updated_is_fresh_again(studio: LabelStudio, lists: TaskLists) -> None:
    found = harvest(studio, 7)
    lists.tasks[4]["annotations"][0]["updated_at"] = at(0.000001)
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(1, utc(0.000001))


def test_what_became_visible_late_is_fresh_within_the_overlap(studio: LabelStudio, lists: TaskLists) -> None:
    found = harvest(studio, 7)
    lists.tasks += [
        task(11, annotation(111, region("late"), at=at(-119)), at=at(-119)),
        task(12, annotation(112, region("of old"), at=at(-121)), at=at(0)),
    ]
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(1, utc(-119))


def test_what_harvest_would_not_learn_is_not_fresh(studio: LabelStudio, lists: TaskLists) -> None:
    found = harvest(studio, 7)
    lists.tasks += [
        task(11, annotation(111, was_cancelled=True, at=at(30)), at=at(30)),
        task(12, annotation(112, region("machine", origin="prediction"), at=at(30)), at=at(30)),
        task(13, annotation(113, region(" "), at=at(30)), at=at(30)),
    ]
    assert fresh(studio, 7, since=found.watermark, recent=found.recent) == Fresh(0, None)


def test_the_field_that_is_preferred_is_read(studio: LabelStudio, lists: TaskLists) -> None:
    lists.label_config = TWO_LANGUAGES
    both = [region("ein Hund", name="caption_de"), region("a dog", name="caption_en")]
    lists.tasks = [task(1, annotation(9, *both), data={"photo": "s3://b/1.jpg"})]
    assert [said.captions for said in harvest(studio, 7).corrections] == [("a dog",)]
    assert [said.captions for said in harvest(studio, 7, prefer="caption_de").corrections] == [("ein Hund",)]
    assert fresh(studio, 7, since="", recent={}, prefer="notes") == Fresh(0, None)


def test_a_project_without_captions_is_refused(studio: LabelStudio, lists: TaskLists) -> None:
    lists.label_config = '<View><Text name="text" value="$text"/></View>'
    for ask in (lambda: harvest(studio, 7), lambda: fresh(studio, 7, since="", recent={})):
        with pytest.raises(LabelConfigError, match="cannot be captioned"):
            ask()


def test_errors_of_label_studio_are_passed_on(studio: LabelStudio, server: Server) -> None:
    server.answer = lambda asked: as_json({"detail": "Not found."}, 404)
    with pytest.raises(LabelStudioError, match="HTTP 404"):
        harvest(studio, 7)
    server.answer = lambda asked: Reply(200, b"<html>log in</html>", {"Content-Type": "text/html"})
    with pytest.raises(LabelStudioError, match=r"GET /api/tasks: .* other than JSON"):
        fresh(studio, 7, since="", recent={})
