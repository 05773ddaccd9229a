"""The queue of trainings: at most one job a project, and nothing in it that can run anything else.

    enqueue_training(connection, 7, timeout_s=21600)    True; False while project 7 has a job already

Whoever can write to the queue server can put any job into it, and RQ would import and call whatever a job names.
AllowedJob runs one function, with a project's number, and no callbacks; jobs are JSON, never pickles.
"""

import time

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError
from rq.executions import Execution, ExecutionRegistry
from rq.intermediate_queue import IntermediateQueue
from rq.job import Job
from rq.serializers import JSONSerializer

from trainer.timings import TIMINGS, Timings

QUEUE = "recaption"
TRAIN = "trainer.job.train_project"
ALLOWED = frozenset({TRAIN})
# The supervisor ends a training that takes too long; RQ's own clock is for a supervisor that hangs.
TIMEOUT_MARGIN_S = 1800
CLEANING_S = 60
HANDOVER_S = 20
# KEYS[1] the handover, KEYS[2] the queue, ARGV[1] the job; nothing if a worker has begun it after all.
GIVE_BACK = """
if redis.call('LREM', KEYS[1], 1, ARGV[1]) == 1 then
    redis.call('LPUSH', KEYS[2], ARGV[1])
end
"""


class RefusedJob(RuntimeError):
    """A job that names anything but the one function, or not a project."""


class Executions(ExecutionRegistry):
    """The executions of a job. RQ forgets one that was abandoned a minute before its number, and would have the next
    one fail over that number, at the end of its work."""

    def get_executions(self, start: int = 0, end: int = -1) -> list[Execution]:
        return [Execution(number, self.job_id, self.connection) for number in self.get_execution_ids(start, end)]


class AllowedJob(Job):
    """A job that trains one project, or is refused before anything that it names is imported."""

    # A job may name functions to call at its end; ours name none.
    success_callback = None
    failure_callback = None
    stopped_callback = None

    @property
    def execution_registry(self) -> Executions:
        return Executions(self.id, connection=self.connection)

    def _execute(self) -> object:
        self._check()
        return super()._execute()

    def send_webhooks(self, status: object, *, exc_string: str | None = None) -> None:
        """None: a job could name any address."""

    def _check(self) -> None:
        if self.instance is not None or self.func_name not in ALLOWED:
            raise RefusedJob(f"job {self.id} names {self.func_name!r}; this queue runs {', '.join(ALLOWED)} alone")
        if self.kwargs or len(self.args) != 1 or not _is_project(self.args[0]):
            raise RefusedJob(f"job {self.id} must have one argument, the number of a project, not {self.args!r}")


class Handover(IntermediateQueue):
    """Jobs that a worker took from the queue and has not begun yet, which is a matter of milliseconds.

    One that is found here twice belongs to a worker that died just then: it goes back to the front of the queue. RQ
    would wait a minute and call it a failure; and it remembers for a day when a number was here first, while ours come
    again with every training.
    """

    def set_first_seen(self, job_id: str) -> bool:
        return bool(self.connection.set(self.get_first_seen_key(job_id), time.time(), nx=True, ex=2 * HANDOVER_S))

    def should_be_cleaned_up(self, job_id: str) -> bool:
        seen = self.get_first_seen(job_id)
        return seen is not None and time.time() - seen.timestamp() > HANDOVER_S

    def cleanup(self, worker: object, queue: Queue) -> None:
        for job_id in self.get_job_ids():
            if not AllowedJob.exists(job_id, self.connection):
                self.remove(job_id)
                continue
            begun = job_id in queue.started_job_registry
            if not begun and not self.set_first_seen(job_id) and self.should_be_cleaned_up(job_id):
                self.connection.eval(GIVE_BACK, 2, self.key, queue.key, job_id)


class TrainingQueue(Queue):
    """RQ's queue, quicker to recover what a worker left that died: RQ waits 15 minutes for one that was cleaning."""

    @property
    def intermediate_queue(self) -> Handover:
        return Handover(self.key, connection=self.connection)

    def acquire_maintenance_lock(self) -> bool:
        return bool(self.connection.set(self.registry_cleaning_key, 1, nx=True, ex=CLEANING_S))


def training_queue(connection: redis.Redis) -> TrainingQueue:
    return TrainingQueue(QUEUE, connection=connection, job_class=AllowedJob, serializer=JSONSerializer)


def training_job_id(project: int) -> str:
    return f"train-{project}"


def enqueue_training(connection: redis.Redis, project: int, *, timeout_s: int, timings: Timings = TIMINGS) -> bool:
    """Queue a training. False: the project has a job already, which waits, runs, or failed a moment ago.

    A job that succeeds is gone at once, one that fails for good after `failure_ttl`. Raises redis.RedisError.
    """
    try:
        training_queue(connection).enqueue_call(
            TRAIN,
            args=(project,),
            description=f"training of project {project}",
            job_id=training_job_id(project),
            unique=True,
            timeout=timeout_s + TIMEOUT_MARGIN_S,
            result_ttl=0,
            failure_ttl=timings.failure_ttl,
            retry=Retry(max=len(timings.retries), interval=list(timings.retries)),
        )
    except DuplicateJobError:
        return False
    return True


def has_job(connection: redis.Redis, project: int) -> bool:
    """Whether a training of the project waits, runs or failed a moment ago. Raises redis.RedisError."""
    return bool(AllowedJob.exists(training_job_id(project), connection))


def is_stranded(connection: redis.Redis, project: int) -> bool:
    """Whether the project's job is in no list that leads a worker to it, and will not expire either.

    A queue server that goes away at the wrong moment can leave one, and it would keep its project from ever being
    queued again. A job on its way from one list to the next looks the same: ask twice. Raises redis.RedisError.
    """
    queue, job = training_queue(connection), training_job_id(project)
    if connection.ttl(AllowedJob.key_for(job)) != -1:
        return False
    lists = (queue.key, queue.intermediate_queue_key)
    if any(connection.lpos(name, job) is not None for name in lists):
        return False
    return job not in queue.scheduled_job_registry and job not in queue.started_job_registry


def drop_job(connection: redis.Redis, project: int) -> None:
    """Remove a stranded job. Raises redis.RedisError."""
    connection.delete(AllowedJob.key_for(training_job_id(project)))


def _is_project(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
