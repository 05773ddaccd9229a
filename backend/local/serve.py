"""The backend as a child process: `python -m backend serve`, with exactly the settings it is given."""

import sys
from pathlib import Path

from pydantic import SecretStr

from backend.local.processes import Child, Processes
from backend.local.waiting import until_answers
from settings import Settings, environment

START_TIMEOUT_S = 120.0
EVERY_INTERFACE = ("0.0.0.0", "::")


def local_address(settings: Settings) -> str:
    """The backend's address on this machine."""
    host = "127.0.0.1" if settings.host in EVERY_INTERFACE else settings.host
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"


def start_backend(processes: Processes, settings: Settings, *, cwd: Path | None = None) -> Child:
    """Start it. Secrets travel in its environment, which other users of the machine cannot read."""
    command = [sys.executable, "-m", "backend", "serve"]
    whole = environment(child_settings(settings))
    return processes.start("backend", command, environment=whole, cwd=cwd or Path.cwd())


def child_settings(settings: Settings) -> dict[str, str]:
    """The settings as environment variables, secrets included; what is not set is left out."""
    return {name.upper(): _text(value) for name, value in settings if value is not None}


def wait_for_backend(processes: Processes, settings: Settings) -> None:
    """Return once it answers; raise LocalError if it ends or takes too long."""
    url = f"{local_address(settings)}/health"
    until_answers(url, what="The backend", timeout_s=START_TIMEOUT_S, check=processes.check)


def _text(value: object) -> str:
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
