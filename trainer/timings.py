"""How soon the queue notices things, in seconds. Tests pass shorter ones; a user never needs to.

A worker that is killed leaves its job without heartbeats. `lost_after` later the job counts as abandoned, at the next
look another worker schedules it anew for `retries[0]` later, and at the look after that it runs: 45 + 10 + 60 + 10.
A worker that is killed between taking a job and beginning it costs half of that (queue.Handover).
RQ's own values would take five to twenty minutes.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Timings:
    # Between two heartbeats of a running job.
    heartbeat_every: int = 10
    # Without a heartbeat for so long, a job is abandoned.
    lost_after: int = 45
    # Between two looks of an idle worker for abandoned jobs and for those whose pause is over.
    look_every: int = 10
    # How long a failed job stays to be read, and keeps its project from being queued again.
    failure_ttl: int = 60
    # Pauses before a job that failed is tried again; then it has failed for good, until corrections make it due anew.
    retries: tuple[int, ...] = (60, 300, 900)


TIMINGS = Timings()
