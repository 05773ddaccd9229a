"""How commands end that cannot go on: one sentence on standard error, and exit code 2."""

from typing import NoReturn

import typer

from settings import Settings, SettingsError, load

CANNOT_START = 2


def stop(reason: str) -> NoReturn:
    """End the command with a reason that says the way out."""
    for line in reason.splitlines():
        typer.echo(f"Error: {line}", err=True)
    raise typer.Exit(CANNOT_START)


def settings_or_stop(**values: object) -> Settings:
    """The settings in force; wrong ones end the command with a line each."""
    try:
        return load(**{name: value for name, value in values.items() if value is not None})
    except SettingsError as error:
        stop(str(error))
