"""`python -m backend connect`: connect a Label Studio project to this backend, or repair the connection."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.connect import ConnectError, ConnectReport, find_project
from backend.connect import connect as connect_project
from backend.running import NotRunning, find_backend, login
from labeling.session import LabelStudio, LabelStudioError
from settings import Settings, SettingsError, load


def connect(
    project: Annotated[int, typer.Option(help="Id of the project, as in its address: /projects/ID/data.", min=1)],
    improve_config: Annotated[
        bool, typer.Option("--improve-config", help="Also make the caption's TextArea cheap to correct.")
    ] = False,
    backend_url: Annotated[
        str | None, typer.Option(help="The backend's address as Label Studio sees it.", show_default="BACKEND_URL")
    ] = None,
) -> None:
    """Connect a Label Studio project to this backend, or repair the connection; changes nothing that is right.

    The backend must be running. Checked and set are the ML backend, the project's prelabelling settings, the webhook
    with its login, and (only with --improve-config) the label config.
    """
    try:
        settings = load(backend_url=backend_url) if backend_url else load()
        studio = studio_of(settings)
        label_config = find_project(studio, project)["label_config"]
        report = connect_project(
            studio,
            project,
            backend_url=settings.backend_url,
            version=find_backend(settings).version(project, label_config),
            basic_auth=login(settings),
            improve_config=improve_config,
            caption_field=settings.caption_field,
        )
    except ConnectError as error:
        _print(error.report)
        raise _failed(error) from None
    except (SettingsError, NotRunning, LabelStudioError) as error:
        raise _failed(error) from None
    _print(report)
    typer.echo(_next_steps(settings, project, report))


def studio_of(settings: Settings) -> LabelStudio:
    """The Label Studio that the settings name. Raises SettingsError where one of the two is missing."""
    if settings.label_studio_url is None:
        raise SettingsError("LABEL_STUDIO_URL is not set. Set it to Label Studio's address as seen from this machine.")
    if settings.label_studio_api_key is None:
        raise SettingsError(
            "LABEL_STUDIO_API_KEY is not set. Create a personal access token in Label Studio "
            "(Account & Settings, Personal Access Token) and set it to that."
        )
    return LabelStudio(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())


def _print(report: ConnectReport) -> None:
    for line in report.lines:
        typer.echo(line)


def _next_steps(settings: Settings, project: int, report: ConnectReport) -> str:
    done = "Connected." if report.changed else "Nothing to change: the project is connected."
    return (
        f"{done} Open {settings.label_studio_url}/projects/{project}/data and press Label All Tasks: the caption is "
        f"there. Correct it, then Tab, Ctrl+Enter.\nCheck the whole chain: python -m backend doctor --project {project}"
    )


def _failed(error: Exception) -> typer.Exit:
    typer.echo(f"failed   {error}", err=True)
    return typer.Exit(1)
