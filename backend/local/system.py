"""The whole system on one machine, in the order in which its parts need each other.

    with queue_server(settings) as queue, Processes(logs) as processes:
        system = start(settings, plan, processes, queue.url, print)

Label Studio first (unless one runs elsewhere), since the backend needs a token for it; then the backend, the project
with its photos, the connection between the two, and the worker that learns from corrections. Everything that is there
already is used as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import SecretStr

from backend.connect import connect, find_project
from backend.local.account import DEMO, Account, access_token
from backend.local.errors import LocalError
from backend.local.label_studio import HOST, LocalLabelStudio
from backend.local.photos import Photo, import_photos, photos_in, sample_photos
from backend.local.ports import free_port, require_free
from backend.local.processes import Processes
from backend.local.project import find_or_create, photo_key, title_for
from backend.local.serve import EVERY_INTERFACE, start_backend, start_worker, wait_for_backend
from backend.running import find_backend, login
from labeling.session import LabelStudio
from settings import Settings
from trainer.valkey import EmbeddedValkey

# Tells the person who waits what is being done.
Say = Callable[[str], None]


@dataclass(frozen=True)
class Plan:
    """What to start. photos: a folder of one's own, None for the samples. project: an existing one, None for ours.
    label_studio_port: for the local Label Studio; 0 for any free one."""

    photos: Path | None = None
    project: int | None = None
    label_studio_port: int = 8080


@dataclass(frozen=True)
class System:
    """What runs now. account is None where Label Studio is not ours; imported counts the photos new in the project."""

    studio: LabelStudio
    project: int
    account: Account | None
    imported: int

    @property
    def url(self) -> str:
        """The page that lists the project's tasks."""
        return f"{self.studio.url}/projects/{self.project}/data"


def with_ports(settings: Settings, plan: Plan) -> tuple[Settings, Plan]:
    """Both with the ports that will be used: a 0 becomes a free one. Raises LocalError if a port is taken."""
    port, studio_port = settings.port or free_port(), plan.label_studio_port or free_port()
    host = "" if settings.host in EVERY_INTERFACE else settings.host
    require_free(host, port, what="the backend", setting="PORT")
    if settings.label_studio_url is None:
        require_free(HOST, studio_port, what="Label Studio", setting="LABEL_STUDIO_PORT")
    chosen = settings.backend_url if "backend_url" in settings.model_fields_set else f"http://localhost:{port}"
    settings = settings.model_copy(update={"port": port, "backend_url": chosen})
    return settings, replace(plan, label_studio_port=studio_port)


@dataclass(frozen=True)
class Queue:
    """The queue server's URL, and a way to start it again if it is ours and died."""

    url: str
    revive: Callable[[], None] = lambda: None


@contextmanager
def queue_server(settings: Settings) -> Iterator[Queue]:
    """The queue server that is set, else an embedded Valkey that lives as long as the block."""
    if settings.redis_url is not None:
        yield Queue(settings.redis_url.get_secret_value())
        return
    server = EmbeddedValkey(settings.data_dir / "valkey")
    try:
        yield Queue(server.start(), server.revive)
    finally:
        server.stop()


def start(settings: Settings, plan: Plan, processes: Processes, redis_url: str, say: Say) -> System:
    """Start what is missing, import the photos, connect the backend.

    Raises LocalError, LabelStudioError, LabelConfigError, NotRunning or ConnectError; each message says what to do.
    """
    # Read before anything starts: a mistyped folder should not cost a minute.
    photos = photos_in(plan.photos) if plan.photos is not None else sample_photos()
    studio, token, account = _label_studio(settings, plan, processes, say)
    studio.get("/api/current-user/whoami")
    say("Starting the backend.")
    known = {
        "label_studio_url": studio.url,
        "label_studio_api_key": SecretStr(token),
        "redis_url": SecretStr(redis_url),
    }
    settings = settings.model_copy(update=known)
    start_backend(processes, settings)
    project = plan.project if plan.project is not None else find_or_create(studio, title_for(plan.photos))
    imported = _import(studio, settings, plan, project, photos)
    wait_for_backend(processes, settings)
    _connect(studio, settings, project)
    start_worker(processes, settings)
    return System(studio, project, account, imported)


def _label_studio(
    settings: Settings, plan: Plan, processes: Processes, say: Say
) -> tuple[LabelStudio, str, Account | None]:
    """A session, its token and, for a Label Studio of our own, the account to log in with."""
    if settings.label_studio_url is not None:
        if settings.label_studio_api_key is None:
            raise LocalError(
                f"LABEL_STUDIO_URL is {settings.label_studio_url}, but LABEL_STUDIO_API_KEY is not set. Set it to an "
                "access token (Label Studio, Account & Settings), or unset LABEL_STUDIO_URL to use a local one."
            )
        token = settings.label_studio_api_key.get_secret_value()
        return LabelStudio(settings.label_studio_url, token), token, None
    local = LocalLabelStudio(settings.data_dir / "label-studio", port=plan.label_studio_port, account=DEMO)
    say("Starting Label Studio." + (" The first start takes about a minute." if local.is_new else ""))
    local.start(processes)
    local.wait(processes)
    token = access_token(local.url, DEMO, local.token_file)
    return LabelStudio(local.url, token), token, DEMO


def _import(studio: LabelStudio, settings: Settings, plan: Plan, project: int, photos: list[Photo]) -> int:
    if plan.project is not None and plan.photos is None:
        return 0
    return import_photos(studio, project, photo_key(studio, project, prefer=settings.caption_field), photos)


def _connect(studio: LabelStudio, settings: Settings, project: int) -> None:
    label_config = find_project(studio, project)["label_config"]
    connect(
        studio,
        project,
        backend_url=settings.backend_url,
        version=find_backend(settings).version(project, label_config),
        basic_auth=login(settings),
        caption_field=settings.caption_field,
    )
