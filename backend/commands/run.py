"""`python -m backend run`: the whole system on this machine, until Ctrl-C. `make run` installs what it needs first."""

import signal
import time
from pathlib import Path
from typing import Annotated

import typer

from backend.commands.stop import settings_or_stop, stop
from backend.connect import ConnectError
from backend.local.errors import LocalError
from backend.local.lock import only_one
from backend.local.processes import Processes
from backend.local.system import Plan, System, queue_server, start, with_ports
from backend.running import NotRunning
from labeling.config import LabelConfigError
from labeling.session import LabelStudioError
from settings import Settings
from trainer.valkey import ValkeyError

WATCH_EVERY_S = 0.5
# Ends that a person or a supervisor asks for; all are treated like Ctrl-C.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
EXPECTED = (LocalError, LabelStudioError, LabelConfigError, ConnectError, NotRunning, ValkeyError)


def run(
    photos: Annotated[Path | None, typer.Option(help="Folder of your own photos, imported into a project.")] = None,
    project: Annotated[int | None, typer.Option(help="Use this existing project instead of making one.")] = None,
    label_studio_port: Annotated[int, typer.Option(help="Port of the local Label Studio; 0 for a free one.")] = 8080,
) -> None:
    """Start Label Studio, queue server, backend and worker on this machine, connected, with photos to caption.

    With LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY set, that Label Studio is used instead of a local one.
    Ctrl-C stops everything that was started.
    """
    for ending in ENDINGS:
        signal.signal(ending, signal.default_int_handler)
    settings = settings_or_stop()
    try:
        _run_until_stopped(settings, Plan(photos, project, label_studio_port))
    except KeyboardInterrupt:
        typer.echo("Stopped.")
    except EXPECTED as error:
        stop(str(error))


def _run_until_stopped(settings: Settings, plan: Plan) -> None:
    with only_one(settings.data_dir):
        settings, plan = with_ports(settings, plan)
        with queue_server(settings) as queue, Processes(settings.data_dir / "logs") as processes:
            try:
                system = start(settings, plan, processes, queue.url, typer.echo)
                typer.echo(summary(system, settings))
                while True:
                    processes.check()
                    queue.revive()
                    time.sleep(WATCH_EVERY_S)
            finally:
                # From here on everything is being stopped; a second Ctrl-C must not leave half of it running.
                for ending in ENDINGS:
                    signal.signal(ending, signal.SIG_IGN)


def summary(system: System, settings: Settings) -> str:
    """Where to go, how to log in, what to try."""
    account = system.account
    login = f"\n  log in as   {account.email}   password   {account.password}" if account else ""
    photos = f"{system.imported} new photo{'' if system.imported == 1 else 's'} imported. " if system.imported else ""
    return (
        f"\nReady. {photos}Open\n\n  {system.url}{login}\n\n"
        "Press Label All Tasks: a caption is already written. Fix the text; Tab; Ctrl+Enter.\n"
        f"{_doctor(system, settings)}"
        f"Logs are in {settings.data_dir / 'logs'}. Ctrl-C stops everything.\n"
    )


def _doctor(system: System, settings: Settings) -> str:
    """How to check the chain from another terminal; with a Label Studio of one's own the settings are there already."""
    if system.account is None:
        return ""
    token = settings.data_dir / "label-studio" / "access-token"
    return (
        "If a caption is missing, check the whole chain from another terminal:\n\n"
        f"  PORT={settings.port} LABEL_STUDIO_URL={system.studio.url} LABEL_STUDIO_API_KEY=$(cat {token}) "
        f".venv/bin/python -m backend doctor --project {system.project}\n\n"
    )
