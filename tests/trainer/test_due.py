"""When a project is due, as a table; and when its marks call for a look."""

import time
from dataclasses import replace

import pytest

from trainer.board import Mark
from trainer.due import Reason, due, settled
from trainer.watch import Watch


@pytest.mark.parametrize(
    ("fresh", "oldest_age_s", "asked", "reason"),
    [
        (0, None, False, None),
        (19, 3599.0, False, None),
        (20, 0.0, False, Reason.ENOUGH),
        (1, 3600.0, False, Reason.WAITED),
        (1, None, False, None),
        (0, 9999.0, False, None),
        (0, None, True, Reason.ASKED),
        (50, 9999.0, True, Reason.ASKED),
    ],
)
def test_due(fresh: int, oldest_age_s: float | None, asked: bool, reason: Reason | None) -> None:
    assert due(fresh, oldest_age_s, asked, each_n=20, after_s=3600.0) == reason


@pytest.mark.parametrize(
    ("last_age_s", "first_age_s", "over"), [(1.9, 5.0, False), (2.0, 2.0, True), (0.1, 29.9, False), (0.1, 30.0, True)]
)
def test_a_burst_is_over_after_a_pause_or_when_it_does_not_end(
    last_age_s: float, first_age_s: float, over: bool
) -> None:
    assert settled(last_age_s, first_age_s) == over


def mark(*, first_ago: float, last_ago: float) -> Mark:
    now = time.time()
    return Mark(7, 1, now - first_ago, now - last_ago, "ANNOTATION_CREATED", None)


def test_a_mark_calls_for_one_look_when_its_burst_is_over_and_for_another_when_it_changes() -> None:
    watch = Watch(quiet_s=0.05, stream_s=60)
    burst = mark(first_ago=0.0, last_ago=0.0)
    watch.see([burst])
    assert not watch.calls(burst)
    time.sleep(0.06)
    watch.see([burst])
    assert watch.calls(burst)
    watch.looked(burst)
    watch.see([burst])
    assert not watch.calls(burst) and watch.settled(burst)
    more = replace(burst, last=time.time())
    watch.see([more])
    assert not watch.calls(more)
    time.sleep(0.06)
    watch.see([more])
    assert watch.calls(more)


def test_a_mark_from_before_this_process_is_looked_at_at_once() -> None:
    watch = Watch()
    old = mark(first_ago=100.0, last_ago=90.0)
    watch.see([old])
    assert watch.calls(old)


def test_a_mark_from_a_clock_that_is_ahead_waits_no_longer_than_others() -> None:
    watch = Watch(quiet_s=0.05)
    ahead = mark(first_ago=-500.0, last_ago=-500.0)
    watch.see([ahead])
    assert not watch.calls(ahead)
    time.sleep(0.06)
    watch.see([ahead])
    assert watch.calls(ahead)


def test_a_stream_that_does_not_end_is_looked_at_now_and_then() -> None:
    watch = Watch(quiet_s=10.0, stream_s=0.2)
    first = time.time()
    looks = 0
    for _ in range(50):
        present = Mark(7, 1, first, time.time(), "ANNOTATION_CREATED", None)
        watch.see([present])
        if watch.calls(present):
            looks += 1
            watch.looked(present)
        time.sleep(0.01)
    assert 1 <= looks <= 3


def test_a_mark_that_was_taken_and_came_again_is_new() -> None:
    watch = Watch(quiet_s=0.0)
    one = mark(first_ago=5.0, last_ago=5.0)
    watch.see([one])
    watch.looked(one)
    watch.see([])
    watch.see([one])
    assert watch.calls(one)
