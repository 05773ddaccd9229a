"""The proofs of serving, on a tiny checkpoint and for seconds: that they count, time and compare what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests
from typer.testing import CliRunner

from model.bench.memory import memory_mb
from proof import soak, start
from proof.__main__ import app
from proof.service import Backend, task
from tests.checkpoints import tiny_checkpoint


@pytest.fixture
def tiny_starter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The proofs serve a tiny checkpoint in the place of the starter."""
    folder = tiny_checkpoint(tmp_path / "tiny")
    monkeypatch.setattr(soak, "STARTER", folder)
    monkeypatch.setattr(start, "STARTER", folder)
    return folder


def test_no_two_tasks_have_the_same_bytes_and_the_same_number_has_the_same_picture() -> None:
    one, other = task(3)["data"]["captioning"], task(3)["data"]["captioning"]
    assert one != other
    assert one[:-24] == other[:-24]


@pytest.mark.parametrize(
    ("crowd", "after", "percent"),
    [
        ([50.0, *[100.0] * 9], [100.0], 0.0),
        ([50.0, *[100.0] * 8, 110.0], [90.0], 10.0),
        ([50.0, *[100.0] * 9], [120.0, 120.0, 500.0], 20.0),
    ],
)
def test_memory_is_compared_with_what_it_was_when_warm(crowd: list[float], after: list[float], percent: float) -> None:
    assert soak.growth_percent(crowd, after) == pytest.approx(percent)


def test_a_soak_has_no_errors_and_counts_both_phases(
    tmp_path: Path, tiny_starter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "AFTERWARDS", 1.0)
    found = soak.soak(tmp_path, minutes=0.06)
    assert found["errors"] == 0, found["faults"]
    assert found["crowd"]["count"] > soak.CLIENTS and found["one_at_a_time"]["count"] > 0
    assert found["health_and_setup"]["count"] > 5 and found["memory_mb"]["warm"] > 50


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (b'{"results": [[]]}', "TypeError"),
        (b'{"results": [{"result": [{"value": {"text": [""]}}]}]}', "an empty caption"),
        (b"<html>", "JSONDecodeError"),
        (None, "HTTPError"),
    ],
)
def test_an_answer_that_is_no_caption_is_a_fault(answer: bytes | None, fault: str) -> None:
    class Answers(Backend):
        def predict(self, session: requests.Session, number: int) -> requests.Response:
            response = requests.Response()
            response.status_code = 503 if answer is None else 200
            response._content = answer or b""
            return response

    process: Any = None
    with requests.Session() as session:
        assert fault in soak.asked(Answers("http://localhost", process, 0.0), session, 0)


def test_a_start_is_timed_and_memory_is_that_of_the_process(tmp_path: Path, tiny_starter: Path) -> None:
    found = start.start(tmp_path, starts=1, bulk=9)
    assert 0.1 < found["start_to_ready_s"] == found["starts_s"][0]
    assert 50 < found["fresh_rss_mb"] <= found["peak_rss_mb"] and found["rss_mb"] <= found["peak_rss_mb"]
    assert found["photos"] == 9


@pytest.mark.parametrize("short", [["soak", "--minutes", "0.5"], ["bulk", "--dataset", "x", "--photos", "40"]])
def test_a_trial_does_not_pass_for_the_figure(short: list[str]) -> None:
    done = CliRunner().invoke(app, short)
    assert done.exit_code == 2 and "--kept" in done.output


def test_memory_is_read_of_any_process() -> None:
    with open("/proc/self/stat", encoding="utf-8") as stat:
        number = int(stat.read().split()[0])
    assert 10 < memory_mb(number) <= memory_mb(number, "VmHWM")
