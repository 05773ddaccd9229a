"""What Label Studio holds of a connection, read and broken by its API, for tests of `connect` and `doctor`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from backend.connect import ConnectReport, connect
from backend.running import login
from labeling.session import LabelStudio
from tests.e2e.conftest import Backend

Break = Callable[[LabelStudio, int, str], object]


def connected(api: LabelStudio, project: int, backend: Backend, **options: Any) -> ConnectReport:
    settings = backend.settings
    return connect(
        api,
        project,
        backend_url=settings.backend_url,
        version=backend.running.served(),
        basic_auth=login(settings),
        **options,
    )


def as_environment(backend: Backend, patch: pytest.MonkeyPatch) -> list[str]:
    """Set what a person would have set to run a command against this backend; its secrets."""
    settings = backend.settings
    assert settings.label_studio_api_key is not None
    secrets = [settings.label_studio_api_key.get_secret_value()]
    values = {
        "LABEL_STUDIO_URL": str(settings.label_studio_url),
        "LABEL_STUDIO_API_KEY": secrets[0],
        "PORT": str(settings.port),
        "DATA_DIR": str(settings.data_dir),
        "MODEL_DIR": str(settings.model_dir),
    }
    if settings.basic_auth_user and settings.basic_auth_pass:
        secrets.append(settings.basic_auth_pass.get_secret_value())
        values |= {"BASIC_AUTH_USER": settings.basic_auth_user, "BASIC_AUTH_PASS": secrets[-1]}
    for name, value in values.items():
        patch.setenv(name, value)
    return secrets


def held(api: LabelStudio, project: int) -> tuple[Any, ...]:
    """All that connect may write, but the times at which Label Studio looked at the backend."""
    backends = api.get("/api/ml/", {"project": project})
    settings = api.get(f"/api/projects/{project}/")
    names = ("show_collab_predictions", "model_version", "label_config", "sampling", "total_predictions_number")
    return (
        [{name: value for name, value in row.items() if name != "updated_at"} for row in backends],
        api.get("/api/webhooks/", {"project": project}),
        {name: settings[name] for name in names},
    )


def streamed(api: LabelStudio, project: int) -> list[str]:
    """The versions of the captions that Label All Tasks opens its next task with. Locks the task for the user."""
    return [row["model_version"] for row in api.get(f"/api/projects/{project}/next")["predictions"]]


def annotate(api: LabelStudio, project: int) -> int:
    """Submit a caption for the project's first task; the task's id."""
    task = int(api.get("/api/tasks", {"project": project})["tasks"][0]["id"])
    result = [{"from_name": "caption", "to_name": "image", "type": "textarea", "value": {"text": ["a dog"]}}]
    api.post(f"/api/tasks/{task}/annotations/", {"result": result})
    return task


def ml_backend(api: LabelStudio, project: int) -> dict[str, Any]:
    """Its first ML backend."""
    row: dict[str, Any] = api.get("/api/ml/", {"project": project})[0]
    return row


def webhook(api: LabelStudio, project: int) -> dict[str, Any]:
    """Its first webhook."""
    row: dict[str, Any] = api.get("/api/webhooks/", {"project": project})[0]
    return row


def project_change(**changes: Any) -> Break:
    return lambda api, project, url: api.patch(f"/api/projects/{project}/", changes)


def ml_change(**changes: Any) -> Break:
    def change(api: LabelStudio, project: int, url: str) -> None:
        api.patch(f"/api/ml/{ml_backend(api, project)['id']}", {"url": url, "project": project} | changes)

    return change


def webhook_change(**changes: Any) -> Break:
    return lambda api, project, url: api.patch(f"/api/webhooks/{webhook(api, project)['id']}/", changes)


def ml_gone(api: LabelStudio, project: int, url: str) -> None:
    api.delete(f"/api/ml/{ml_backend(api, project)['id']}")


def ml_twice(api: LabelStudio, project: int, url: str) -> None:
    api.post("/api/ml/", {"project": project, "url": url, "title": "again"})


def webhook_gone(api: LabelStudio, project: int, url: str) -> None:
    api.delete(f"/api/webhooks/{webhook(api, project)['id']}/")


def webhook_twice(api: LabelStudio, project: int, url: str) -> None:
    api.post("/api/webhooks/", {"project": project, "url": f"{url}/webhook/", "send_payload": False})
