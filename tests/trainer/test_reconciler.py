"""The reconciler on a real Valkey. Label Studio is a function here: what it answers is labeling's to test, and the
chain with the real one is in tests/e2e."""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from rq import Queue

from labeling.session import LabelStudioError
from tests.trainer.rig import Rig
from tests.waiting import wait_until
from trainer.board import Board
from trainer.leader import Leader
from trainer.marks import START_TRAINING, UNKNOWN_PROJECT, Marks
from trainer.queue import QUEUE, enqueue_training, has_job, training_job_id
from trainer.reconciler import LOCK, Reconciler, Rules
from trainer.reconciling import remembering
from trainer.spool import SEEN, Hint
from trainer.valkey import EmbeddedValkey

SUBMITTED = "ANNOTATION_CREATED"
RULES = Rules(each_n=20, after_s=3600.0, every_s=600.0, timeout_s=3600, turn_s=0.02, quiet_s=0.1, stream_s=5.0)


@dataclass(frozen=True)
class Answer:
    count: int
    oldest: str | None = None


@dataclass
class Studio:
    """What Label Studio answers about each project, and what it was asked."""

    answers: dict[int, Answer | Exception] = field(default_factory=dict)
    asked: list[int] = field(default_factory=list)
    since: list[str] = field(default_factory=list)

    def ask(self, project: int, since: str, recent: Mapping[str, str]) -> Answer:
        self.asked.append(project)
        self.since.append(since)
        answer = self.answers.get(project, Answer(0))
        if isinstance(answer, Exception):
            raise answer
        return answer


def nothing_learnt(project: int) -> tuple[str, Mapping[str, str]]:
    return "", {}


Run = Callable[..., Reconciler]


@pytest.fixture
def studio() -> Studio:
    return Studio()


@contextmanager
def running(reconciler: Reconciler) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=reconciler.run, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


@pytest.fixture
def run(client: redis.Redis, studio: Studio) -> Iterator[Run]:
    """Start a reconciler with these rules; it runs until the end of the test."""
    with ExitStack() as stack:

        def start(**rules: float) -> Reconciler:
            reconciler = Reconciler(client, replace(RULES, **rules), ask=studio.ask, learnt=nothing_learnt)  # type: ignore[arg-type]
            stack.enter_context(running(reconciler))
            return reconciler

        yield start


def hint(client: redis.Redis, project: int, *actions: str) -> None:
    """Deliver one mark an action, all at once; without any, that of a submitted caption."""
    Board(client).deliver(
        Hint(project, action, int(action == SUBMITTED), time.time()) for action in actions or (SUBMITTED,)
    )


def queued(client: redis.Redis) -> list[str]:
    return list(Queue(QUEUE, connection=client).job_ids)


def test_a_project_that_is_due_is_queued_once_and_keeps_its_mark(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[7] = Answer(20)
    run()
    hint(client, 7)
    wait_until(lambda: queued(client) == ["train-7"], "the job")
    time.sleep(0.3)
    assert queued(client) == ["train-7"]
    assert studio.asked == [7]
    assert [mark.project for mark in Board(client).pending()] == [7]


def test_a_project_that_is_not_due_is_asked_about_once_a_burst(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[7] = Answer(19)
    run()
    hint(client, 7, *[SUBMITTED] * 20)
    wait_until(lambda: studio.asked == [7], "the first look")
    time.sleep(0.3)
    assert studio.asked == [7]
    hint(client, 7)
    wait_until(lambda: studio.asked == [7, 7], "the second look")
    assert queued(client) == []
    assert Board(client).pending()[0].pending == 21


def test_one_old_correction_is_enough(client: redis.Redis, studio: Studio, run: Run) -> None:
    hour_ago = datetime.now(UTC) - timedelta(seconds=3601)
    studio.answers = {7: Answer(1, hour_ago.isoformat()), 8: Answer(1, datetime.now(UTC).isoformat())}
    hint(client, 7, SEEN)
    hint(client, 8, SEEN)
    run()
    wait_until(lambda: sorted(studio.asked) == [7, 8] and queued(client) == ["train-7"], "both looks and the job")


def test_a_submit_that_also_asks_for_a_training_makes_one_job(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[7] = Answer(1)
    run()
    hint(client, 7, SUBMITTED, START_TRAINING)
    wait_until(lambda: queued(client) == ["train-7"], "the job")
    time.sleep(0.3)
    assert (queued(client), studio.asked) == (["train-7"], [7])


def test_a_mark_that_tells_of_nothing_new_is_dropped(client: redis.Redis, studio: Studio, run: Run) -> None:
    run()
    hint(client, 7)
    wait_until(lambda: studio.asked == [7] and Board(client).pending() == [], "the mark is dropped")
    assert Board(client).projects() == [7]


def test_all_known_projects_are_asked_about_now_and_then(client: redis.Redis, studio: Studio, run: Run) -> None:
    hint(client, 7, SEEN)
    run(every_s=0.3)
    wait_until(lambda: studio.asked == [7], "the first sweep")
    studio.answers[7] = Answer(20)
    wait_until(lambda: queued(client) == ["train-7"], "the second sweep")


def test_a_mark_of_nobody_has_all_asked_about_and_is_dropped(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[8] = Answer(1)
    for project in (7, 8):
        hint(client, project, SEEN)
    run()
    wait_until(lambda: sorted(studio.asked) == [7, 8], "the first sweep")
    hint(client, UNKNOWN_PROJECT, START_TRAINING)
    wait_until(lambda: queued(client) == ["train-8"], "the second sweep's job")
    assert sorted(studio.asked) == [7, 7, 8, 8]
    assert Board(client).pending() == []


def test_a_project_that_is_gone_is_forgotten(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[7] = LabelStudioError("HTTP 404", 404)
    hint(client, 7)
    run()
    wait_until(lambda: Board(client).projects() == [] and Board(client).pending() == [], "project 7 is forgotten")


def test_one_project_s_trouble_is_said_once_and_keeps_no_other_from_its_training(
    client: redis.Redis, studio: Studio, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    studio.answers = {7: LabelStudioError("HTTP 403: not allowed.", 403), 8: Answer(20)}
    for project in (7, 8):
        hint(client, project, SEEN)
    run(every_s=0.05)
    wait_until(lambda: queued(client) == ["train-8"] and studio.asked.count(7) > 2, "project 8")
    assert [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING] == [
        "project 7: HTTP 403: not allowed; trying again"
    ]
    studio.answers[7] = Answer(0)
    wait_until(lambda: "project 7 can be asked about again" in caplog.text, "the all-clear")


def test_a_label_studio_that_is_away_is_asked_less_and_less_and_then_works_again(
    client: redis.Redis, studio: Studio, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    studio.answers[7] = LabelStudioError("Label Studio cannot be reached.")
    hint(client, 7)
    run(longest_pause_s=0.4)
    time.sleep(1.2)
    assert 2 <= len(studio.asked) <= 8
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 1
    studio.answers[7] = Answer(20)
    wait_until(lambda: queued(client) == ["train-7"], "the job")
    wait_until(lambda: "looking for due trainings again" in caplog.text, "the all-clear")


def test_a_queue_server_that_was_away_is_used_again(
    server: EmbeddedValkey, studio: Studio, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    studio.answers[7] = Answer(20)
    run(longest_pause_s=0.2)
    time.sleep(0.1)
    server.stop()
    wait_until(lambda: "the queue server is out of reach" in caplog.text, "the warning")
    server.start()
    with redis.Redis.from_url(server.url) as client:
        hint(client, 7)
        wait_until(lambda: queued(client) == ["train-7"], "the job")


def test_a_fault_of_ours_does_not_end_it(client: redis.Redis, studio: Studio, run: Run) -> None:
    studio.answers[7] = ZeroDivisionError()
    hint(client, 7)
    run(longest_pause_s=0.1)
    wait_until(lambda: len(studio.asked) > 1, "another look")
    studio.answers[7] = Answer(20)
    wait_until(lambda: queued(client) == ["train-7"], "the job")


def test_a_job_that_got_lost_is_dropped_and_queued_anew(client: redis.Redis, studio: Studio, run: Run) -> None:
    enqueue_training(client, 7, timeout_s=60)
    client.delete(f"rq:queue:{QUEUE}")
    studio.answers[7] = Answer(20)
    hint(client, 7)
    run(stranded_s=1.0)
    time.sleep(0.2)
    assert queued(client) == []
    wait_until(lambda: queued(client) == ["train-7"], "the job")


def test_one_of_several_reconcilers_asks_and_another_takes_over(client: redis.Redis, studio: Studio, run: Run) -> None:
    other = Leader(client, LOCK, ttl_s=1.5)
    assert other.hold()
    hint(client, 7)
    run()
    time.sleep(0.3)
    assert studio.asked == []
    wait_until(lambda: studio.asked == [7], "the lock to expire")
    assert not other.hold()


def test_a_reconciler_that_ends_lets_go_of_the_lock(client: redis.Redis, studio: Studio) -> None:
    with running(Reconciler(client, RULES, ask=studio.ask, learnt=nothing_learnt)):
        wait_until(lambda: client.exists(LOCK), "the lock")
    assert not client.exists(LOCK)


def test_the_watermark_is_that_of_the_last_training_that_has_one(tmp_path: Path) -> None:
    learnt = remembering(tmp_path)
    assert learnt(7) == ("", {})
    (tmp_path / "history.jsonl").write_text(
        '{"project": "7", "event": "rejection", "watermark": "2026-01-01T00:00:00+00:00", "recent": {"3": "x"}}\n'
        '{"project": "7", "event": "rejection", "watermark": "2026-01-02T00:00:00+00:00", "recent": {"5": "y"}}\n'
        '{"project": "8", "event": "rejection", "watermark": "2026-01-03T00:00:00+00:00", "recent": {}}\n'
        '{"project": "7", "event": "failure"}\n'
        '{"project": "7", "event": "torn'
    )
    assert learnt(7) == ("2026-01-02T00:00:00+00:00", {"5": "y"})


@pytest.fixture
def corrections(rig: Rig) -> Iterator[Callable[[int], None]]:
    """Annotators: `corrections(n)` submits n captions in project 7, each with a mark. A worker and a reconciler run."""
    truth, lock = rig.folder / "truth", threading.Lock()
    truth.write_text("0")
    marks = Marks(rig.server.url, rig.folder / "spool")

    def submit(count: int) -> None:
        for _ in range(count):
            with lock:
                truth.write_text(str(int(truth.read_text()) + 1))
            marks.raise_mark(7, "ANNOTATION_CREATED")

    def ask(project: int, since: str, recent: Mapping[str, str]) -> Answer:
        with lock:
            return Answer(int(truth.read_text()) - int(since or 0))

    rig.worker()
    rules = replace(RULES, every_s=0.5, timings=rig.timings)
    with running(Reconciler(rig.client, rules, ask=ask, learnt=remembering(rig.model_dir))):
        yield submit
    marks.close()


def learnt(rig: Rig) -> int:
    return int(remembering(rig.model_dir)(7)[0] or 0)


def test_a_thousand_corrections_make_few_trainings_and_none_is_lost(
    rig: Rig, corrections: Callable[[int], None]
) -> None:
    rig.plan(steps=5, step_s=0.05)
    annotators = [threading.Thread(target=corrections, args=(250,)) for _ in range(4)]
    for annotator in annotators:
        annotator.start()
    for annotator in annotators:
        annotator.join()
    wait_until(lambda: learnt(rig) > 980, "all are learnt, or too few are left to be due")
    wait_until(lambda: not has_job(rig.client, 7), "the last job is gone")
    starts = rig.events("start")
    assert 1 <= len(starts) <= 25
    # What is not learnt yet is still marked; what is learnt is not, once it was looked at.
    if learnt(rig) == 1000:
        wait_until(lambda: Board(rig.client).pending() == [], "no mark is left")
    else:
        assert sum(mark.pending for mark in Board(rig.client).pending()) >= 1000 - learnt(rig)


def test_what_comes_in_during_a_training_makes_exactly_one_more(rig: Rig, corrections: Callable[[int], None]) -> None:
    rig.plan(steps=60, step_s=0.05)
    corrections(20)
    rig.wait_for("start")
    for _ in range(5):
        corrections(20)
        time.sleep(0.15)
    assert len(rig.events("start")) == 1
    wait_until(lambda: learnt(rig) == 120, "all are learnt")
    wait_until(lambda: not has_job(rig.client, 7), "the last job is gone")
    time.sleep(0.7)
    assert len(rig.events("start")) == 2
    assert training_job_id(7) not in queued(rig.client)
