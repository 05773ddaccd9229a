"""Marks on a real Valkey: counted, timed, delivered late rather than lost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainer.marks import START_TRAINING, Hint, Mark, Marks, write_hint
from trainer.valkey import EmbeddedValkey


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey(tmp_path / "valkey")
    valkey.start()
    yield valkey
    valkey.stop()


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
