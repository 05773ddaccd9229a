from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from model import history

STATE = {
    "version": "recaption-1",
    "epoch": 1,
    "previous": None,
    "fence": 0,
    "at": "2026-01-02T03:04:05+00:00",
    "by": "a",
}


def line(epoch: int, project: str = "7", **figures: object) -> dict[str, Any]:
    return history.compose("promotion", project, "größer", STATE | {"epoch": epoch}, figures)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.jsonl"


def test_before_the_first_event_there_is_no_history(path: Path) -> None:
    assert history.read(path) == []


def test_a_line_has_its_facts_and_the_figures_of_the_event(path: Path) -> None:
    history.append(path, line(1, bleu4=22.5))
    history.append(path, line(1, project="8"))
    facts = {"event": "promotion", "project": "7", "reason": "größer"}
    assert history.read(path, "7") == [facts | STATE | {"bleu4": 22.5}]
    assert [found["project"] for found in history.read(path)] == ["7", "8"]
    assert [list(json.loads(text))[:3] for text in path.read_text().splitlines()] == [list(facts)] * 2


def test_a_line_torn_anywhere_is_skipped_and_the_next_one_is_readable(path: Path) -> None:
    history.append(path, line(1))
    whole = path.stat().st_size
    history.append(path, line(2))
    content = path.read_bytes()
    for end in range(whole, len(content)):
        path.write_bytes(content[:end])
        # All of the line but its end is still the line; anything less is none.
        left = [1, 2] if end == len(content) - 1 else [1]
        assert [found["epoch"] for found in history.read(path)] == left, f"torn after {end - whole} bytes"
        history.append(path, line(3))
        assert [found["epoch"] for found in history.read(path)] == [*left, 3], f"torn after {end - whole} bytes"


@pytest.mark.parametrize("tail", [b"\0" * 64, b'{"reason": "gr\xc3', b"[1, 2]", b"\n\n"])
def test_what_a_power_cut_may_leave_is_no_line(path: Path, tail: bytes) -> None:
    history.append(path, line(1))
    with path.open("ab") as file:
        file.write(tail)
    history.append(path, line(2))
    history.append(path, line(3))
    assert [found["epoch"] for found in history.read(path)] == [1, 2, 3]


def test_figures_may_not_hide_a_fact(path: Path) -> None:
    with pytest.raises(ValueError, match="figures may not be named by, epoch: the line of the history has its own"):
        history.compose("promotion", "7", "better", STATE, {"epoch": 4, "by": "me", "bleu4": 1.0})


def test_only_the_line_of_this_very_move_tells_of_a_pointer() -> None:
    lines = [
        line(1),
        line(2),
        history.compose("rejection", "7", "worse", STATE | {"epoch": 3}, None),
        {"event": "rollback"},
    ]
    assert history.tells(lines, "7", STATE | {"epoch": 2})
    for other in ({"epoch": 3}, {"epoch": 2, "fence": 1}, {"epoch": 2, "version": "recaption-2"}):
        assert not history.tells(lines, "7", STATE | other)
    assert not history.tells(lines, "8", STATE | {"epoch": 2})
