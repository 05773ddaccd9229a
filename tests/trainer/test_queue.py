"""The queue of trainings, without a worker: one job a project, and none that blocks its project for good."""

import time

import redis
from rq import Queue
from rq.job import Job
from rq.serializers import JSONSerializer

from trainer.queue import (
    HANDOVER_S,
    QUEUE,
    TIMEOUT_MARGIN_S,
    drop_job,
    enqueue_training,
    has_job,
    is_stranded,
    training_job_id,
    training_queue,
)
from trainer.timings import TIMINGS


def test_a_project_has_one_job_at_a_time(client: redis.Redis) -> None:
    assert not has_job(client, 7)
    assert enqueue_training(client, 7, timeout_s=100)
    assert not enqueue_training(client, 7, timeout_s=100)
    assert enqueue_training(client, 8, timeout_s=100)
    assert has_job(client, 7)
    assert Queue(QUEUE, connection=client).job_ids == ["train-7", "train-8"]


def test_a_job_is_json_and_has_every_time_set(client: redis.Redis) -> None:
    enqueue_training(client, 7, timeout_s=100)
    job = Job.fetch(training_job_id(7), connection=client, serializer=JSONSerializer)
    assert (job.func_name, job.args, job.kwargs) == ("trainer.job.train_project", [7], {})
    assert (job.timeout, job.result_ttl, job.failure_ttl) == (100 + TIMEOUT_MARGIN_S, 0, 60)
    assert (job.retries_left, job.retry_intervals) == (3, [60, 300, 900])


def test_a_job_that_no_list_leads_to_is_stranded(client: redis.Redis) -> None:
    assert not is_stranded(client, 7)
    enqueue_training(client, 7, timeout_s=100)
    assert not is_stranded(client, 7)
    queue = training_queue(client)
    for name in (queue.intermediate_queue_key, queue.key):
        client.delete(queue.key, queue.intermediate_queue_key)
        client.rpush(name, training_job_id(7))
        assert not is_stranded(client, 7)
    client.delete(queue.key)
    assert is_stranded(client, 7)
    client.zadd(queue.scheduled_job_registry.key, {training_job_id(7): 1})
    assert not is_stranded(client, 7)
    client.delete(queue.scheduled_job_registry.key)
    client.zadd(queue.started_job_registry.key, {f"{training_job_id(7)}:execution": 1})
    assert not is_stranded(client, 7)


def test_what_a_late_heartbeat_leaves_of_a_job_is_stranded_and_can_be_dropped(client: redis.Redis) -> None:
    client.hset(f"rq:job:{training_job_id(7)}", "last_heartbeat", "2026-01-01T00:00:00.000000Z")
    assert not enqueue_training(client, 7, timeout_s=100)
    assert is_stranded(client, 7)
    drop_job(client, 7)
    assert enqueue_training(client, 7, timeout_s=100)


def test_a_job_that_failed_is_not_stranded_since_it_expires(client: redis.Redis) -> None:
    enqueue_training(client, 7, timeout_s=100)
    client.delete(training_queue(client).key)
    client.expire(f"rq:job:{training_job_id(7)}", 60)
    assert not is_stranded(client, 7)


def test_a_job_that_a_worker_took_and_never_began_goes_back_to_the_front(client: redis.Redis) -> None:
    enqueue_training(client, 7, timeout_s=100)
    enqueue_training(client, 8, timeout_s=100)
    queue = training_queue(client)
    handover = queue.intermediate_queue
    client.lmove(queue.key, handover.key)
    for _ in range(2):
        handover.cleanup(None, queue)
        assert (queue.job_ids, handover.get_job_ids()) == (["train-8"], ["train-7"])
    client.set(handover.get_first_seen_key("train-7"), time.time() - HANDOVER_S - 1)
    handover.cleanup(None, queue)
    assert (queue.job_ids, handover.get_job_ids()) == (["train-7", "train-8"], [])


def test_a_job_that_began_is_left_alone(client: redis.Redis) -> None:
    queue = training_queue(client)
    handover = queue.intermediate_queue
    enqueue_training(client, 7, timeout_s=100)
    client.lmove(queue.key, handover.key)
    client.zadd(queue.started_job_registry.key, {"train-7:execution": time.time() + 60})
    client.set(handover.get_first_seen_key("train-7"), 1.0)
    handover.cleanup(None, queue)
    assert (queue.job_ids, handover.get_job_ids()) == ([], ["train-7"])


def test_a_job_that_is_gone_does_not_stay_in_the_handover(client: redis.Redis) -> None:
    queue = training_queue(client)
    client.rpush(queue.intermediate_queue.key, "train-7")
    queue.intermediate_queue.cleanup(None, queue)
    assert queue.intermediate_queue.get_job_ids() == []


def test_an_abandoned_job_runs_again_within_two_and_a_half_minutes() -> None:
    assert TIMINGS.lost_after + 2 * TIMINGS.look_every + TIMINGS.retries[0] < 150
    assert HANDOVER_S + 2 * TIMINGS.look_every < 150
    assert TIMINGS.lost_after > 3 * TIMINGS.heartbeat_every


def test_another_worker_may_clean_when_one_died_over_it(client: redis.Redis) -> None:
    queue = training_queue(client)
    assert queue.acquire_maintenance_lock()
    assert not queue.acquire_maintenance_lock()
    assert 0 < client.ttl(queue.registry_cleaning_key) <= 60
