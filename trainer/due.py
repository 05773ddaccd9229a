"""When a project should be trained: pure rules about counts and ages, in seconds."""

from enum import StrEnum

# Marks come in bursts: of one submit, or of an annotator's session. Look when a burst is over, or when it does not end.
QUIET_S = 2.0
STREAM_S = 30.0


class Reason(StrEnum):
    """Why a training is due."""

    ASKED = "a person asked for it"
    ENOUGH = "enough captions are new"
    WAITED = "a new caption has waited long enough"


def settled(last_age_s: float, first_age_s: float, *, quiet_s: float = QUIET_S, stream_s: float = STREAM_S) -> bool:
    """Whether it is time to look at a project whose first mark is `first_age_s` old and whose last `last_age_s`."""
    return last_age_s >= quiet_s or first_age_s >= stream_s


def due(fresh_count: int, oldest_age_s: float | None, asked: bool, *, each_n: int, after_s: float) -> Reason | None:
    """Why a training is due, None when it is not.

    `fresh_count`: captions to learn that no training has seen, the oldest of them `oldest_age_s` old. `asked`: whether
    a person asked for a training.
    """
    if asked:
        return Reason.ASKED
    if fresh_count >= each_n:
        return Reason.ENOUGH
    if fresh_count > 0 and oldest_age_s is not None and oldest_age_s >= after_s:
        return Reason.WAITED
    return None
