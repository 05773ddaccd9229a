"""Real workers, real signals, a real Valkey: whatever ends, the training survives it and nothing else does."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
from rq import Queue
from rq.command import send_stop_job_command
from rq.exceptions import StopRequested
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from tests.trainer.rig import QUICK, Rig, alive
from tests.waiting import wait_until
from trainer import worker
from trainer.board import Board
from trainer.queue import QUEUE, enqueue_training, has_job, training_job_id
from trainer.spool import Hint
from trainer.supervise import ENDINGS
from trainer.valkey import EmbeddedValkey
from trainer.worker import RecaptionWorker

EVIL = """
from pathlib import Path
Path({witness!r}).write_text("imported")
def run(*arguments):
    pass
"""


def enqueue(rig: Rig, project: int = 7) -> bool:
    return enqueue_training(rig.client, project, timeout_s=3600, timings=rig.timings)


def job(rig: Rig, project: int = 7) -> Job:
    return Job.fetch(training_job_id(project), connection=rig.client, serializer=JSONSerializer)


def gone(rig: Rig, project: int = 7) -> None:
    wait_until(lambda: not has_job(rig.client, project), "the job is gone")


def test_a_job_trains_takes_the_mark_tells_its_progress_and_makes_room_for_the_next(rig: Rig) -> None:
    rig.plan(steps=40, step_s=0.05)
    Board(rig.client).deliver([Hint(7, "ANNOTATION_CREATED", 3, time.time())])
    rig.worker()
    assert enqueue(rig)
    assert not enqueue(rig)
    started = rig.wait_for("start")[0]
    assert (started["project"], started["job"], started["batch"]) == (7, True, None)
    assert Board(rig.client).pending() == []
    assert not enqueue(rig)
    progress: dict[str, Any] = wait_until(lambda: job(rig).meta.get("progress"), "progress in the job")
    assert progress["stage"] == "finetune"
    assert wait_until(lambda: job(rig).meta["progress"]["step"] > progress["step"], "more progress")
    rig.wait_for("done")
    gone(rig)
    rig.plan()
    assert enqueue(rig)
    rig.wait_for("done", 2)


def test_sigterm_checkpoints_requeues_in_front_and_ends_in_order(rig: Rig) -> None:
    rig.plan(steps=30, step_s=0.05)
    worker = rig.worker()
    enqueue(rig)
    enqueue(rig, 8)
    rig.wait_for("start")
    time.sleep(0.3)
    asked = time.monotonic()
    assert worker.end() == 0
    assert time.monotonic() - asked < 4
    (stopped,) = rig.events("stopped")
    assert Queue(QUEUE, connection=rig.client).job_ids == ["train-7", "train-8"]
    assert job(rig).get_status() == JobStatus.QUEUED
    rig.worker()
    done = rig.wait_for("done")[0]
    assert done["project"] == 7
    assert rig.events("start")[1]["step"] == stopped["step"] > 0


def test_a_worker_killed_leaves_no_trainer_and_another_goes_on(rig: Rig) -> None:
    rig.plan(steps=30, step_s=0.05)
    first = rig.worker()
    enqueue(rig)
    trainer = rig.wait_for("start")[0]["pid"]
    first.signal(signal.SIGKILL)
    first.process.wait()
    (stopped,) = rig.wait_for("stopped")
    wait_until(lambda: not alive(trainer) and not rig.processes(), "everything of the killed worker is gone")
    rig.worker()
    second = rig.wait_for("start", 2)[1]
    assert second["step"] == stopped["step"]
    rig.wait_for("done")
    gone(rig)
    assert len(rig.events("start")) == 2


def test_a_stopped_job_is_checkpointed_and_not_tried_again_at_once(rig: Rig) -> None:
    rig.plan(steps=200, step_s=0.05)
    rig.timings = replace(QUICK, failure_ttl=2)
    worker = rig.worker()
    enqueue(rig)
    rig.wait_for("start")
    send_stop_job_command(rig.client, training_job_id(7), serializer=JSONSerializer)
    rig.wait_for("stopped")
    wait_until(lambda: job(rig).get_status() == JobStatus.STOPPED, "the job is stopped")
    assert not enqueue(rig)
    gone(rig)
    assert len(rig.events("start")) == 1
    assert worker.process.poll() is None
    rig.plan()
    assert enqueue(rig)
    rig.wait_for("done")


def test_a_failing_trainer_is_tried_again_then_fails_and_then_there_is_room(rig: Rig) -> None:
    rig.plan(starts=[1])
    rig.timings = replace(QUICK, retries=(1,))
    worker = rig.worker()
    enqueue(rig)
    rig.wait_for("start", 2)
    wait_until(lambda: job(rig).get_status() == JobStatus.FAILED, "the job failed")
    result = job(rig).latest_result()
    assert result is not None and "the trainer ended with exit code 1" in str(result.exc_string)
    assert not enqueue(rig)
    gone(rig)
    assert "torch" not in worker.said()
    rig.plan()
    assert enqueue(rig)
    rig.wait_for("done")


def test_a_queue_server_that_goes_away_over_the_end_of_a_job(rig: Rig) -> None:
    """The trainer does not notice, the worker survives, and the job ends or runs again to no effect."""
    rig.plan(steps=20, step_s=0.05)
    worker = rig.worker()
    enqueue(rig)
    trainer = rig.wait_for("start")[0]["pid"]
    rig.server.stop()
    wait_until(lambda: not alive(trainer), "the trainer ended")
    time.sleep(2.5)
    rig.server.start()
    gone(rig)
    assert worker.process.poll() is None
    assert worker.said().count("the queue server is away") == worker.said().count("the queue server is back") == 1
    starts = len(rig.events("start"))
    rig.plan()
    wait_until(lambda: enqueue(rig, 9), "room for another job")
    rig.wait_for("start", starts + 1)
    wait_until(lambda: [line for line in rig.events("done") if line["project"] == 9], "project 9 is trained")
    assert worker.end() == 0


def test_a_worker_whose_horse_cannot_say_how_it_ended_is_replaced(rig: Rig) -> None:
    """The horse is killed while the queue server is away: RQ's worker quits at that, ours works on."""
    rig.plan(steps=400, step_s=0.05)
    worker = rig.worker()
    enqueue(rig)
    rig.wait_for("start")
    horse = int(Path(f"/proc/{rig.events('start')[0]['pid']}/stat").read_text().rpartition(")")[2].split()[1])
    rig.server.stop()
    os.kill(horse, signal.SIGKILL)
    rig.wait_for("stopped")
    wait_until(lambda: "another starts" in worker.said(), "the worker is replaced")
    rig.plan(steps=10)
    rig.server.start()
    rig.wait_for("done")
    gone(rig)
    assert worker.end() == 0


def test_an_embedded_queue_server_that_its_owner_stops_is_started_again_by_the_worker(rig: Rig) -> None:
    owner = EmbeddedValkey(rig.folder / "data" / "valkey")
    owner.start()
    rig.worker(REDIS_URL="")
    owner.stop()
    wait_until(owner.answers, "the worker starts it again")
    with redis.Redis.from_url(owner.url) as client:
        assert enqueue_training(client, 7, timeout_s=3600, timings=rig.timings)
    rig.wait_for("done")
    assert rig.workers[0].end() == 0
    assert not owner.answers()


def test_a_worker_that_ends_before_it_could_start_the_server_again_leaves_that_to_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []

    def new_worker() -> RecaptionWorker:
        said.append("worker")
        if said.count("worker") == 1:
            raise redis.ConnectionError("away")
        raise StopRequested

    monkeypatch.setattr(worker, "FIRST_PAUSE_S", 0.01)
    handlers = {number: signal.getsignal(number) for number in ENDINGS}
    try:
        worker.keep_working(new_worker, revive=lambda: said.append("revive"))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert said == ["worker", "revive", "worker"]


def push(client: redis.Redis, name: str, function: str, arguments: list[Any], **fields: str) -> None:
    """Put a job into the queue as somebody would who can write to the queue server, and knows no Python of ours."""
    data = json.dumps([function, None, arguments, {}])
    known = {"data": data, "origin": QUEUE, "status": "queued", "created_at": "2026-01-01T00:00:00.000000Z"}
    for field, value in {**known, **fields}.items():
        client.hset(f"rq:job:{name}", field, value)
    client.rpush(f"rq:queue:{QUEUE}", name)


def test_a_job_that_names_anything_else_is_refused_and_nothing_of_it_is_imported(rig: Rig) -> None:
    touched, witness = rig.folder / "touched", rig.folder / "witness"
    (rig.folder / "evil.py").write_text(EVIL.format(witness=str(witness)))
    rig.worker(PYTHONPATH=str(rig.folder))
    push(rig.client, "system", "os.system", [f"touch {touched}"])
    push(rig.client, "module", "evil.run", [7])
    callbacks = {f"{when}_callback_name": "evil.run" for when in ("success", "failure", "stopped")}
    push(rig.client, "callback", "trainer.job.train_project", ["7; rm"], **callbacks)
    push(rig.client, "zero", "trainer.job.train_project", [0])
    push(rig.client, "truth", "trainer.job.train_project", [True])
    names = ("system", "module", "callback", "zero", "truth")

    def status(name: str) -> Any:
        return rig.client.hget(f"rq:job:{name}", "status")

    wait_until(lambda: all(status(name) == b"failed" for name in names), "all are refused")
    assert not touched.exists() and not witness.exists()
    assert rig.events("start") == []
    reason = Job.fetch("system", connection=rig.client, serializer=JSONSerializer).latest_result()
    assert reason is not None
    assert "RefusedJob: job system names 'os.system'; this queue runs trainer.job.train_project alone" in str(
        reason.exc_string
    )
