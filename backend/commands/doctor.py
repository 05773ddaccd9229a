"""`python -m backend doctor`: check each link between Label Studio and this backend, and say what to change."""

from __future__ import annotations

from typing import Annotated

import typer

from backend.checks.check import Check, Status
from settings import SettingsError, load

COLOURS: dict[Status, str] = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "failed": typer.colors.RED}


def doctor(
    project: Annotated[
        int | None, typer.Option(help="Id of one project; without it, all that have this backend.", min=1)
    ] = None,
) -> None:
    """Check each link between Label Studio and this backend, and say what to change. Changes nothing itself.

    Exit code 0 if nothing failed, 1 if something did.
    """
    try:
        settings = load()
    except SettingsError as error:
        for line in str(error).splitlines():
            _print(Check("settings", "failed", line))
        raise typer.Exit(1) from None
    _print(Check("settings", "ok", "all valid; python -m backend config shows them"))
    from backend.doctor import examine  # brings torch, which takes seconds; a wrong setting should show at once

    verdicts = []
    for check in examine(settings, project):
        _print(check)
        verdicts.append(check.status)
    count = {status: verdicts.count(status) for status in COLOURS}
    typer.echo(f"\n{count['failed']} failed, {count['warning']} to look at, {count['ok'] + 1} ok")
    if count["failed"]:
        raise typer.Exit(1)


def _print(check: Check) -> None:
    typer.echo(f"{typer.style(f'{check.status:<8}', fg=COLOURS[check.status])} {check.name}: {check.detail}")
    if check.remedy:
        typer.echo(f"         -> {check.remedy}")
