"""Notes of tasks that a request had no time for."""

from __future__ import annotations

from pathlib import Path

from backend import leftover


def test_notes_are_kept_by_project_until_they_are_taken_up(tmp_path: Path) -> None:
    assert leftover.waiting(tmp_path, 7) == []
    for task in (30, 200, 30):
        leftover.leave(tmp_path, 7, task)
    leftover.leave(tmp_path, 8, 5)
    assert leftover.waiting(tmp_path, 7) == [30, 200]
    leftover.leave(tmp_path, 7, 10)
    leftover.taken_up(tmp_path, 7, [30, 200])
    leftover.taken_up(tmp_path, 7, [30, 200])
    assert leftover.waiting(tmp_path, 7) == [10], "what came meanwhile stays"
    assert leftover.waiting(tmp_path, 8) == [5]
