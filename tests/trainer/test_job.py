"""The job's watch over a real child process, which pretends to train. In a worker it is in test_worker.py."""

import json
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.trainer.pretend_trainer import progress, read_log
from trainer.board import Board
from trainer.job import Ending, Plan, Training, TrainingFailed, take_mark, train_project, wait_for
from trainer.relay import Relay
from trainer.spool import Hint
from trainer.valkey import EmbeddedValkey

Make = Callable[..., Training]


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """A Training of project 7 whose trainer follows the given plan."""
    monkeypatch.setenv("MODEL_DIR", str(tmp_path))

    def training(ending: Ending | None = None, **plan: Any) -> Training:
        (tmp_path / "plan.json").write_text(json.dumps({"steps": 2, "step_s": 0.02, **plan}))
        command = (sys.executable, "-m", "tests.trainer.pretend_trainer", str(tmp_path))
        relay = Relay(tmp_path / "runs" / "7" / "progress.json", lambda progress: None)
        return Training(7, Plan(command, grace_s=1.0, poll_s=0.02), ending or Ending(), relay)

    return training


def batches(folder: Path) -> list[int | None]:
    return [line["batch"] for line in read_log(folder) if line["event"] == "start"]


def test_out_of_memory_and_the_kernel_s_killer_halve_the_batch(make: Make, tmp_path: Path) -> None:
    assert make(starts=[71, "killed", "done"]).run(batch=32, timeout_s=60) is None
    assert batches(tmp_path) == [None, 16, 8]


def test_the_batch_is_halved_three_times_and_never_below_one(make: Make, tmp_path: Path) -> None:
    with pytest.raises(TrainingFailed, match="project 7: the trainer was ended by SIGKILL"):
        make(starts=["killed"]).run(batch=32, timeout_s=60)
    assert batches(tmp_path) == [None, 16, 8, 4]
    (tmp_path / "log.jsonl").unlink()
    with pytest.raises(TrainingFailed, match="ended with exit code 71"):
        make(starts=[71]).run(batch=3, timeout_s=60)
    assert batches(tmp_path) == [None, 1]


@pytest.mark.parametrize("code", [1, 2, 75])
def test_any_other_end_is_a_failure(make: Make, tmp_path: Path, code: int) -> None:
    with pytest.raises(TrainingFailed, match=f"ended with exit code {code}; what it said is above"):
        make(starts=[code]).run(batch=32, timeout_s=60)
    assert batches(tmp_path) == [None]


def test_a_training_whose_time_is_up_goes_on_in_its_turn_if_it_came_further(make: Make, tmp_path: Path) -> None:
    retry = make(steps=1000, step_s=0.02).run(batch=32, timeout_s=1.0)
    assert retry is not None
    assert (retry.enqueue_at_front, retry.intervals) == (False, [0])
    stopped = read_log(tmp_path)[-1]
    assert (stopped["event"], stopped["step"] > 0) == ("stopped", True)


def test_a_training_that_stands_still_until_its_time_is_up_has_failed(make: Make, tmp_path: Path) -> None:
    progress(tmp_path / "runs" / "7", {"run": "one", "stage": "finetune", "step": 1})
    with pytest.raises(TrainingFailed, match="no progress within TRAINING_TIMEOUT_S=1"):
        make(steps=1000, step_s=60).run(batch=32, timeout_s=1.0)


def test_a_trainer_that_does_not_stop_is_killed_which_is_no_lack_of_memory(make: Make, tmp_path: Path) -> None:
    ending = Ending()
    threading.Timer(0.8, lambda: setattr(ending, "asked", True)).start()
    retry = make(ending, steps=1000, step_s=0.02, deaf=True).run(batch=32, timeout_s=60)
    assert retry is not None and retry.enqueue_at_front
    assert batches(tmp_path) == [None]


def test_ending_hears_a_sigterm_that_came_while_it_was_blocked() -> None:
    before = signal.getsignal(signal.SIGTERM)
    ending = Ending()
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # To this thread: any other that a test left behind would let the signal through, and it would end us all.
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert not ending.asked
        ending.listen()
        assert ending.asked
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_relay_passes_on_what_changed_and_bears_a_queue_server_that_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.relay.EVERY_S", 0.0)
    monkeypatch.setattr("trainer.relay.AFTER_FAILURE_S", 0.0)
    saved: list[dict[str, Any]] = []
    down = False

    def save(content: dict[str, Any]) -> None:
        if down:
            raise redis.ConnectionError
        saved.append(content)

    progress(tmp_path, {"run": "old", "stage": "done", "step": 9})
    relay = Relay(tmp_path / "progress.json", save)
    relay.look()
    assert saved == [] and not relay.moved()
    progress(tmp_path, {"run": "new", "stage": "gather", "step": None})
    down = True
    relay.look()
    down = False
    relay.look()
    relay.look()
    assert [content["run"] for content in saved] == ["new"]
    assert relay.moved()
    (tmp_path / "progress.json").write_text('{"torn')
    relay.look()
    assert len(saved) == 1


def test_a_mark_is_taken_by_a_new_run_and_left_by_one_that_goes_on(client: redis.Redis, tmp_path: Path) -> None:
    board, hint = Board(client), Hint(7, "ANNOTATION_CREATED", 2, 1000.0)
    board.deliver([hint])
    runs = tmp_path / "runs" / "7"
    (runs / "20260102T030405Z-1f2e").mkdir(parents=True)
    take_mark(client, 7, runs)
    assert len(board.pending()) == 1
    (runs / "20260102T030405Z-1f2e" / "report.json").write_text("{}")
    take_mark(client, 7, runs)
    assert board.pending() == []


def test_without_the_queue_server_the_mark_stays_and_the_end_waits_a_while(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    with redis.Redis.from_url(server.url, retry=None) as client:
        wait_for(client, 60, Ending())
        server.stop()
        take_mark(client, 7, tmp_path)
        asked = Ending()
        asked.asked = True
        wait_for(client, 60, asked)
        wait_for(client, 0.1, Ending())


def test_no_job_runs_where_torch_is_imported() -> None:
    assert "torch" in sys.modules
    with pytest.raises(RuntimeError, match="torch is imported in this process"):
        train_project(7)
