"""RQ's worker, made to outlive what a training outlives: a shutdown, a queue server that goes away, a stop too many.

Against RQ's own worker:
- SIGTERM also reaches the work horse, so that a training is checkpointed and put back within a second, not waited for;
- what it forks dies with it (supervise.bind_forks): no second trainer on the GPU because the first was orphaned;
- a queue server that is away does not end it in the middle of a job, and `keep_working` starts it again otherwise;
- a companion process is looked after at every heartbeat.
"""

import contextlib
import logging
import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NoReturn

import redis
from rq import Queue, Worker
from rq.exceptions import StopRequested
from rq.executions import Execution
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.worker.base import SHUTDOWN_SIGNAL, WorkerStatus

from trainer.queue import AllowedJob, TrainingQueue, training_queue
from trainer.supervise import ENDINGS, Companion
from trainer.timings import TIMINGS, Timings

log = logging.getLogger(__name__)

# RQ derives from its worker_ttl how long an idle worker waits before it looks around.
RQ_MARGIN_S = 15
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 15.0
AWAY = (redis.ConnectionError, redis.TimeoutError)


class RecaptionWorker(Worker):
    """One worker on the queue of trainings. Make it with `worker_on`."""

    max_connection_wait_time = LONGEST_PAUSE_S

    timings = TIMINGS
    companion: Companion | None = None
    revive: Callable[[], None] = staticmethod(lambda: None)
    ready: Callable[[], None] | None = None
    ending = False
    away = False

    def bootstrap(self, *arguments: Any, **options: Any) -> None:
        super().bootstrap(*arguments, **options)
        if self.ready is not None:
            self.ready()

    # Signals

    def request_stop(self, signum: int, frame: Any) -> None:
        self.ending = True
        super().request_stop(signum, frame)  # type: ignore[no-untyped-call]

    def handle_warm_shutdown_request(self) -> None:
        if self.horse_pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.horse_pid, signal.SIGTERM)

    def set_shutdown_requested_date(self) -> None:
        """Not recorded: a signal's handler has no business on the network."""

    def kill_horse(self, sig: signal.Signals = SHUTDOWN_SIGNAL) -> None:
        # With no horse, its number 0 would name the group of this very process.
        if self.horse_pid:
            super().kill_horse(sig)

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """A signal that comes while the horse is forked must not run the worker's handlers inside the horse."""
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        try:
            super().fork_work_horse(job, queue)
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
        if self.ending:
            self.handle_warm_shutdown_request()

    def setup_work_horse_signals(self) -> None:
        """In the horse. SIGTERM stays blocked until the job listens for it (trainer.job.Ending)."""
        super().setup_work_horse_signals()  # type: ignore[no-untyped-call]
        if os.getppid() != self.pid:
            os._exit(1)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    # Heartbeats

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        if not self.is_horse:
            self._look_around()
        # In a pipeline nothing is sent yet.
        with self._told() if pipeline is None else contextlib.nullcontext():
            super().heartbeat(timeout, pipeline)

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """A job goes on without the queue server, and so does the watch over it."""
        with contextlib.suppress(*AWAY), self._told():
            super().maintain_heartbeats(job, execution)

    def get_heartbeat_ttl(self, job: Job, working_time: float = 0.0) -> int:
        return self.timings.lost_after

    def _look_around(self) -> None:
        if self.ending and self.get_state() != WorkerStatus.BUSY:
            # RQ raised this in the signal's handler already; Python drops what is raised while it cleans up.
            raise StopRequested
        if self.companion is not None:
            self.companion.check()

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        """Say once that the queue server is away, and once that it is back; try to revive one of our own."""
        try:
            yield
        except AWAY as error:
            if not self.away:
                log.warning("the queue server is away (%s); what runs goes on", type(error).__name__)
            self.away = True
            if not self.is_horse:
                self.revive()
            raise
        if self.away:
            log.info("the queue server is back")
        self.away = False

    # Jobs that wait for another try

    def run_maintenance_tasks(self) -> None:
        """Also put scheduled jobs back into the queue. RQ has a process of its own for that; but only a worker that
        looks around could run them, and the lock of a scheduler that was killed holds for a minute."""
        super().run_maintenance_tasks()  # type: ignore[no-untyped-call]
        (queue,) = self.queues
        if queue.acquire_maintenance_lock():
            self._again.enqueue_scheduled_jobs()  # type: ignore[no-untyped-call]
            queue.release_maintenance_lock()  # type: ignore[no-untyped-call]

    @cached_property
    def _again(self) -> RQScheduler:
        quiet = logging.WARNING
        scheduler = RQScheduler(self.queues, connection=self.connection, serializer=JSONSerializer, logging_level=quiet)
        scheduler.prepare_registries(self.queue_names())
        return scheduler

    # The end

    def teardown(self) -> None:
        if self.horse_pid and not self.is_horse:
            self.kill_horse()
            self.wait_for_horse()
        try:
            super().teardown()  # type: ignore[no-untyped-call]
        except AWAY:
            # What the queue server knows of this worker expires by itself; the thread that listens to it does not.
            if self.pubsub_thread is not None and self.pubsub is not None:
                self.pubsub_thread.stop()
                self.pubsub_thread.join(timeout=5)
                self.pubsub.close()

    def _pubsub_exception_handler(self, exc: Exception, pubsub: Any, pubsub_thread: Any) -> None:
        """Wait, as RQ does, but say nothing: the worker itself says it once."""
        if not isinstance(exc, AWAY):
            raise exc
        time.sleep(2.0)


def worker_on(connection: redis.Redis, timings: Timings = TIMINGS) -> RecaptionWorker:
    """A worker for the queue of trainings. Raises redis.RedisError."""
    worker = RecaptionWorker(
        [training_queue(connection)],
        connection=connection,
        job_class=AllowedJob,
        queue_class=TrainingQueue,
        serializer=JSONSerializer,
        worker_ttl=timings.look_every + RQ_MARGIN_S,
        # Shorter than the wait of an idle worker, so that every wait ends with a look.
        maintenance_interval=timings.look_every - 1,
        job_monitoring_interval=timings.heartbeat_every,
    )
    worker.timings = timings
    return worker


def keep_working(
    new_worker: Callable[[], RecaptionWorker], *, burst: bool = False, revive: Callable[[], None] = lambda: None
) -> None:
    """Work until SIGTERM or SIGINT; with `burst`, until the queue is empty.

    RQ's worker quits when the queue server is away at the wrong moment: another takes its place when it is back.
    `revive` may start a server of ours again; a worker calls it when its server goes away, and it is called before the
    next worker, since the last may have ended before it could. Raises redis.RedisError with `burst` alone.
    """
    pause = FIRST_PAUSE_S
    with contextlib.suppress(StopRequested):
        began = time.monotonic()
        while not _work(new_worker, burst, revive):
            if time.monotonic() - began > 2 * LONGEST_PAUSE_S:
                pause = FIRST_PAUSE_S
            log.warning("the worker ended; another starts in %.0f s", pause)
            time.sleep(pause)
            pause, began = min(pause * 2, LONGEST_PAUSE_S), time.monotonic()
            revive()


def _work(new_worker: Callable[[], RecaptionWorker], burst: bool, revive: Callable[[], None]) -> bool:
    """Let one worker work until it ends. True if that was asked for."""
    _listen()
    worker = None
    try:
        worker = new_worker()
        worker.revive = revive
        worker.work(burst=burst, logging_level=None)
    except redis.RedisError as error:
        if burst:
            raise
        log.warning("the queue server is away (%s)", type(error).__name__)
    finally:
        _listen()
    return burst or (worker is not None and worker.ending)


def _listen() -> None:
    """Between two workers, a signal ends it all."""
    for number in ENDINGS:
        signal.signal(number, _stop)


def _stop(number: int, frame: object) -> NoReturn:
    raise StopRequested
