"""Marks on a real Valkey: counted, timed, delivered late rather than lost."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from trainer.board import Board
from trainer.marks import START_TRAINING, UNKNOWN_PROJECT, Hint, Mark, Marks, write_hint
from trainer.valkey import EmbeddedValkey


@pytest.fixture
def marks(server: EmbeddedValkey, tmp_path: Path) -> Iterator[Marks]:
    opened = Marks(server.url, tmp_path / "spool")
    yield opened
    opened.close()


def test_marks_of_a_project_gather_in_one_hash(marks: Marks) -> None:
    before = time.time()
    marks.raise_mark(7, "ANNOTATION_CREATED")
    marks.raise_mark(7, "ANNOTATIONS_DELETED", captions=3)
    marks.raise_mark(9, "ANNOTATION_UPDATED")
    assert marks.flush(5)
    seven, nine = marks.pending()
    assert (seven.project, seven.pending, seven.action, seven.asked) == (7, 4, "ANNOTATIONS_DELETED", None)
    assert before <= seven.first < seven.last <= time.time()
    assert (nine.project, nine.pending) == (9, 1)


def test_a_request_to_train_is_not_a_caption(marks: Marks) -> None:
    marks.raise_mark(7, "ANNOTATION_CREATED")
    marks.raise_mark(7, START_TRAINING, captions=0)
    assert marks.flush(5)
    (mark,) = marks.pending()
    assert mark.pending == 1
    assert mark.asked == mark.last


def test_taking_a_mark_leaves_the_board_empty_and_what_comes_later_is_a_new_one(marks: Marks) -> None:
    assert marks.take(7) is None
    marks.raise_mark(7, "ANNOTATION_CREATED", captions=3)
    marks.raise_mark(8, "ANNOTATION_CREATED")
    assert marks.flush(5)
    taken = marks.take(7)
    assert taken is not None and (taken.project, taken.pending) == (7, 3)
    assert marks.take(7) is None
    marks.raise_mark(7, "ANNOTATION_UPDATED")
    assert marks.flush(5)
    assert [(mark.project, mark.pending) for mark in marks.pending()] == [(7, 1), (8, 1)]


def test_no_mark_is_lost_or_counted_twice_while_others_take_them(marks: Marks, server: EmbeddedValkey) -> None:
    taken = 0
    with redis.Redis.from_url(server.url) as client:
        board = Board(client)
        for _ in range(50):
            for _ in range(4):
                marks.raise_mark(7, "ANNOTATION_CREATED")
            mark = board.take(7)
            taken += mark.pending if mark else 0
        assert marks.flush(5)
        mark = board.take(7)
    assert taken + (mark.pending if mark else 0) == 200


def test_every_hint_and_every_look_at_a_project_makes_it_known(marks: Marks, tmp_path: Path) -> None:
    marks.raise_mark(9, "ANNOTATION_CREATED")
    marks.raise_mark(UNKNOWN_PROJECT, "ANNOTATION_CREATED")
    marks.know(7)
    assert marks.flush(5)
    assert marks.projects() == [7, 9]
    assert [mark.project for mark in marks.pending()] == [UNKNOWN_PROJECT, 9]


def test_what_is_known_already_is_not_told_again_for_a_while(
    marks: Marks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Hint] = []
    monkeypatch.setattr("trainer.marks.write_hint", lambda spool, hint: written.append(hint))
    for project in (7, 7, 8, UNKNOWN_PROJECT, 7):
        marks.know(project)
    assert [hint.project for hint in written] == [7, 8]


def test_a_mark_is_dropped_unless_it_has_grown_meanwhile(marks: Marks, client: redis.Redis) -> None:
    marks.raise_mark(7, "ANNOTATION_CREATED")
    assert marks.flush(5)
    (seen,) = marks.pending()
    marks.raise_mark(7, "ANNOTATION_CREATED")
    assert marks.flush(5)
    Board(client).drop(seen)
    (grown,) = marks.pending()
    assert grown.pending == 2
    Board(client).drop(grown)
    assert marks.pending() == []


def test_a_project_that_is_gone_is_forgotten_with_its_mark(marks: Marks, client: redis.Redis) -> None:
    marks.raise_mark(7, "ANNOTATION_CREATED")
    assert marks.flush(5)
    Board(client).forget(7)
    assert (marks.projects(), marks.pending()) == ([], [])


def test_a_thousand_marks_from_four_threads_are_a_thousand(marks: Marks) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: marks.raise_mark(number % 3 + 1, "ANNOTATION_CREATED"), range(1000)))
    assert marks.flush(20)
    assert sum(mark.pending for mark in marks.pending()) == 1000


def test_marks_wait_while_the_server_is_down_and_arrive_when_it_is_back(tmp_path: Path) -> None:
    server = EmbeddedValkey(tmp_path / "valkey")
    marks = Marks(server.url, tmp_path / "spool")
    started = time.perf_counter()
    for _ in range(20):
        marks.raise_mark(7, "ANNOTATION_CREATED")
    assert time.perf_counter() - started < 0.2
    assert not marks.flush(0.3)
    assert marks.waiting() == 20
    server.start()
    assert marks.flush(20)
    assert [mark.pending for mark in marks.pending()] == [20]
    marks.close()
    server.stop()


def test_marks_left_by_an_earlier_process_are_delivered_at_the_next_start(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    write_hint(tmp_path / "spool", Hint(7, "ANNOTATION_CREATED", 2, 1000.5))
    (tmp_path / "spool" / "00-torn.json").write_text('{"project": 7, "act')
    odd = {"project": 7, "action": "ANNOTATION_CREATED", "captions": True, "at": 1000.0}
    (tmp_path / "spool" / "01-odd.json").write_text(json.dumps(odd))
    marks = Marks(server.url, tmp_path / "spool")
    assert marks.flush(5)
    assert marks.pending() == [Mark(7, 2, 1000.5, 1000.5, "ANNOTATION_CREATED", None)]
    marks.close()


def test_a_spool_that_cannot_be_written_keeps_marks_in_memory(
    marks: Marks, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(spool: Path, hint: Hint) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("trainer.marks.write_hint", full)
    marks.raise_mark(7, "ANNOTATION_CREATED")
    assert marks.flush(5)
    assert [mark.pending for mark in marks.pending()] == [1]
