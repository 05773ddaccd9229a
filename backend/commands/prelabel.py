"""`python -m backend prelabel`: caption a project's unlabelled tasks now, and store the captions in Label Studio."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.commands.connect import studio_of
from backend.commands.stop import settings_or_stop, stop
from backend.onlyone import turn
from labeling.session import LabelStudioError
from settings import SettingsError


def prelabel(
    project: Annotated[int, typer.Option(help="Id of the project, as in its address: /projects/ID/data.", min=1)],
) -> None:
    """Caption a project's unlabelled tasks with the version that serves it, and store the captions in Label Studio.

    The serving backend does so by itself for a project that is new to it, and after each promotion. Tasks that have a
    caption of this version are skipped; a run that was stopped goes on where it was. Exit code 1 if tasks failed.
    """
    settings = settings_or_stop()
    try:
        studio = studio_of(settings)
        studio.get(f"/api/projects/{project}/")
    except (SettingsError, LabelStudioError) as error:
        stop(str(error))
    from backend.alone import FAULTS, prelabel_alone  # brings torch, which takes seconds; wrong settings show at once

    try:
        with turn(settings.data_dir, project) as mine:
            if not mine:
                stop(
                    f"another process is captioning project {project}. How far it is: {settings.backend_url}/status. "
                    "Run this again when it is done"
                )
            tally = prelabel_alone(settings, studio, project, lambda text: typer.echo(f"Note: {text}", err=True))
    except FAULTS as error:
        stop(str(error))
    typer.echo(
        f"{tally.captioned} captioned, {tally.replaced} of them in place of an older caption; {tally.skipped} skipped, "
        f"{tally.failed} failed; {tally.deleted} older ones deleted"
    )
    if tally.failed:
        typer.echo(f"Why tasks fail: python -m backend doctor --project {project}", err=True)
        raise typer.Exit(1)
