"""What the checks of one project look at, read from Label Studio once."""

from __future__ import annotations

from dataclasses import dataclass

from backend.links import Link, Row, at_url
from backend.running import RunningBackend, login
from labeling.images import ImageFetcher
from labeling.session import LabelStudio
from settings import Settings

# To list ML backends, Label Studio asks each one's /health and /setup, waiting up to 6 s.
SLOW_S = 60.0


def backends_of(studio: LabelStudio, project: int) -> list[Row]:
    """A project's ML backends, their states fresh. Raises LabelStudioError."""
    rows: list[Row] = studio.request("GET", "/api/ml/", params={"project": project}, timeout=SLOW_S).json()
    return rows


@dataclass(frozen=True)
class Chain:
    """One project and everything between it and the backend.

    backends: the project's ML backends, states fresh. task: its first task, data as stored; None without tasks.
    running: the running backend; None if it does not answer from here.
    """

    settings: Settings
    studio: LabelStudio
    running: RunningBackend | None
    link: Link
    project: Row
    backends: list[Row]
    webhooks: list[Row]
    task: Row | None

    @classmethod
    def read(cls, settings: Settings, studio: LabelStudio, running: RunningBackend | None, project: int) -> Chain:
        """Raises LabelStudioError."""
        number = {"project": project}
        tasks = studio.get("/api/tasks", params=number | {"page_size": 1, "fields": "all", "resolve_uri": "false"})
        backends = backends_of(studio, project)
        return cls(
            settings=settings,
            studio=studio,
            running=running,
            link=Link(project, settings.backend_url, _version(settings, running, backends), login(settings)),
            project=studio.get(f"/api/projects/{project}/"),
            backends=backends,
            webhooks=studio.get("/api/webhooks/", params=number),
            task=next(iter(tasks["tasks"]), None),
        )

    @property
    def connect(self) -> str:
        """The command that repairs most of it."""
        return f"python -m backend connect --project {self.link.project}"

    @property
    def caption_field(self) -> str | None:
        """Which TextArea is meant: the ML backend's extra parameters win over the settings."""
        row = next(iter(at_url(self.backends, self.link.url)), {})
        extra = row.get("extra_params")
        named = extra.get("caption_field") if isinstance(extra, dict) else None
        return str(named) if named else self.settings.caption_field

    def fetcher(self) -> ImageFetcher:
        return ImageFetcher(
            self.studio,
            allowed_hosts=self.settings.image_allowed_hosts,
            timeout_s=self.settings.image_timeout_s,
            max_bytes=self.settings.image_max_bytes,
            local_files_root=self.settings.local_files_document_root,
        )


def _version(settings: Settings, running: RunningBackend | None, backends: list[Row]) -> str:
    """The version that serves the project: what Label Studio has just been told, else what the backend says of itself.
    While it is silent, the version that it told last must do."""
    row = next(iter(at_url(backends, settings.backend_url)), None)
    if row is not None and row.get("model_version"):
        return str(row["model_version"])
    return running.served() if running is not None else ""
