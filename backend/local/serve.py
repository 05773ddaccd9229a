"""The backend and the training worker as child processes, with exactly the settings they are given."""

import sys
from collections.abc import Sequence
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
    """Start `python -m backend serve`."""
    return _start(processes, "backend", ("backend", "serve"), settings, cwd)


def start_worker(processes: Processes, settings: Settings, *, cwd: Path | None = None) -> Child:
    """Start `python -m trainer work`."""
    return _start(processes, "worker", ("trainer", "work"), settings, cwd)


def _start(processes: Processes, name: str, words: Sequence[str], settings: Settings, cwd: Path | None) -> Child:
    """Secrets travel in the environment, which other users of the machine cannot read."""
    whole = environment(child_settings(settings))
    return processes.start(name, [sys.executable, "-m", *words], environment=whole, cwd=cwd or Path.cwd())


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
