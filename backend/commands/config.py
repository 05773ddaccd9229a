"""`python -m backend config`: every setting in force, secrets hidden."""

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from backend.commands.stop import settings_or_stop
from settings import example, rows


def config(
    show_example: Annotated[
        bool, typer.Option("--example", help="Print .env.example instead: every setting with its meaning and default.")
    ] = False,
) -> None:
    """Print every setting: its value (secrets hidden), its default, its meaning."""
    if show_example:
        typer.echo(example(), nl=False)
        return
    table = Table(Column("name", no_wrap=True), Column("value", overflow="fold"), "default", "meaning")
    for row in rows(settings_or_stop()):
        table.add_row(*row)
    Console().print(table)
