"""Examine the whole chain from a task in Label Studio to a caption and back: `python -m backend doctor`.

    for check in examine(settings, project=7):
        print(check.name, check.status, check.detail, check.remedy)

Changes nothing: neither in Label Studio, nor in the store, nor in the queue. Checks come as they are made, first this
machine's, then Label Studio's, then each project's; what cannot be tried because an earlier link is broken is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from backend.checks.chain import Chain, backends_of
from backend.checks.check import Check, failed, warning
from backend.checks.machine import check_backend, check_checkpoint, check_queue, check_store
from backend.checks.project import check_images, check_label_config, check_sampling, check_stream, check_training_toggle
from backend.checks.reach import check_bans, check_ml_backend, check_prediction, check_webhook
from backend.checks.studio import check_token, check_version
from backend.links import at_url
from backend.running import RunningBackend
from labeling.session import LabelStudio, LabelStudioError
from settings import Settings

# In the order of the life of one caption, so that the first failure is usually the cause of the others.
PROJECT_CHECKS: tuple[Callable[[Chain], Check], ...] = (
    check_bans,
    check_ml_backend,
    check_label_config,
    check_images,
    check_prediction,
    check_stream,
    check_sampling,
    check_webhook,
    check_training_toggle,
)
PAGE = 100


def examine(settings: Settings, project: int | None = None) -> Iterator[Check]:
    """Every check that can be made, one after the other; without `project`, of all projects that have our backend."""
    store = check_store(settings)
    yield store
    if store.status != "failed":
        yield check_checkpoint(settings)
    yield check_queue(settings)
    verdict, running = check_backend(settings)
    yield verdict
    if settings.label_studio_url is None or settings.label_studio_api_key is None:
        missing = "LABEL_STUDIO_URL" if settings.label_studio_url is None else "LABEL_STUDIO_API_KEY"
        yield failed("Label Studio", f"{missing} is not set", f"Set {missing}, then run the doctor again.")
        return
    try:
        studio = LabelStudio(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())
    except LabelStudioError as error:
        yield failed("Label Studio", str(error), "Correct the setting, then run the doctor again.")
        return
    yield from _with_studio(settings, studio, running, project)


def _with_studio(
    settings: Settings, studio: LabelStudio, running: RunningBackend | None, project: int | None
) -> Iterator[Check]:
    reachable = check_version(studio)
    yield reachable
    if reachable.status == "failed":
        return
    token = check_token(studio)
    yield token
    if token.status == "failed":
        return
    try:
        projects = [project] if project is not None else connected_projects(studio, settings.backend_url)
    except LabelStudioError as error:
        yield failed("projects", str(error), "Use the token of a user who can see the projects.")
        return
    if not projects:
        yield warning(
            "projects",
            f"none is connected to {settings.backend_url}",
            "Connect one: python -m backend connect --project ID",
        )
    for number in projects:
        yield from _of_project(settings, studio, running, number)


def _of_project(
    settings: Settings, studio: LabelStudio, running: RunningBackend | None, project: int
) -> Iterator[Check]:
    try:
        chain = Chain.read(settings, studio, running, project)
    except LabelStudioError as error:
        yield failed(f"project {project}", str(error), "Give the id of a project that the token's user can see.")
        return
    for check in PROJECT_CHECKS:
        yield _named(project, _tried(check, chain))


def _tried(check: Callable[[Chain], Check], chain: Chain) -> Check:
    try:
        return check(chain)
    except LabelStudioError as error:
        return failed(check.__name__.removeprefix("check_").replace("_", " "), str(error), "See the message.")


def _named(project: int, check: Check) -> Check:
    return Check(f"project {project}: {check.name}", check.status, check.detail, check.remedy)


def connected_projects(studio: LabelStudio, backend_url: str) -> list[int]:
    """Ids of the projects that have an ML backend at `backend_url`. Raises LabelStudioError."""
    return [number for number in _projects(studio) if at_url(backends_of(studio, number), backend_url)]


def _projects(studio: LabelStudio) -> Iterator[int]:
    page = 1
    while True:
        found: dict[str, Any] = studio.get("/api/projects/", params={"page": page, "page_size": PAGE, "include": "id"})
        yield from sorted(int(project["id"]) for project in found["results"])
        if not found.get("next"):
            return
        page += 1
