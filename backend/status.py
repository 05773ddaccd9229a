"""What the service says of itself: to Label Studio and load balancers in one breath, to people at length."""

from __future__ import annotations

import time
from typing import Any

import redis

from backend.captioning import CaptioningBackend
from backend.service import Service


def served(service: Service) -> dict[str, Any]:
    """What serves every project without a version of its own. From memory alone."""
    serving = service.serving
    return {
        "model_class": CaptioningBackend.__name__,
        "model_version": serving.version,
        "device": serving.captioner.device,
        "engine": serving.captioner.engine.name,
        "engine_fallback": serving.captioner.fallback or None,
        "beam": service.settings.beam or serving.captioner.beam,
    }


def health(service: Service) -> dict[str, Any]:
    """That, and whether it is what the pointer names. From memory alone."""
    return {
        "status": "UP",
        **served(service),
        "serving": service.serving.version,
        "aspired": service.watcher.aspired(None),
        "last_error": service.watcher.fault(None),
        "quarantined": service.watcher.quarantined(),
        "queue": service.predictor.depth(),
    }


def status(service: Service) -> dict[str, Any]:
    """All there is. Reads small files and asks the queue server: not for the thread that answers requests."""
    known = service.projects.all()
    numbers = sorted({number for number in (*known, *service.fleet.table) if number is not None})
    projects = {str(number): project(service, number) for number in numbers}
    if None in known:
        projects["None"] = known[None].explained()
    return {
        **served(service),
        "serving_since": service.fleet.since(None),
        "aspired": service.watcher.aspired(None),
        "last_error": service.watcher.fault(None),
        "quarantined": service.watcher.quarantined(),
        "uptime_s": round(time.time() - service.started, 1),
        "model_queue": service.predictor.depth(),
        "projects": projects,
        "marks": marks(service),
    }


def project(service: Service, number: int) -> dict[str, Any]:
    """One project: what it can be served, by whom it is, and what was done for it in Label Studio."""
    known = service.projects.all().get(number)
    return {
        **(known.explained() if known else {}),
        "aspired": service.watcher.aspired(number),
        "serving": service.fleet.of(number).version,
        "since": service.fleet.since(number),
        "quarantine": service.watcher.fault(number),
        **(service.upkeep.note(number) if service.upkeep else {}),
    }


def marks(service: Service) -> dict[str, Any]:
    waiting = service.marks.waiting()
    try:
        pending = [mark.__dict__ for mark in service.marks.pending()]
    except redis.RedisError:
        return {"queue_server": "out of reach", "waiting": waiting}
    return {"queue_server": "up", "waiting": waiting, "pending": pending}
