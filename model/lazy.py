"""A command line whose commands are imported when they are typed, and not before.

`--help` answers at once, and a command that must not have torch in its process, as a worker that forks, has none.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

import typer
from typer.core import TyperGroup


def command_line(room: str, names: Sequence[str], summary: str) -> typer.Typer:
    """`python -m room`, with a command for each name: the function of that name in `room.commands.name`."""

    class Commands(TyperGroup):
        def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer narrows the context
            return list(names)

        def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def, override]  # likewise
            if cmd_name not in names:
                return None
            module = importlib.import_module(f"{room}.commands.{cmd_name}")
            single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
            single.command(cmd_name)(getattr(module, cmd_name))
            return typer.main.get_command(single)

    # A traceback with local variables would show secrets.
    app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
    app.callback(help=summary)(_nothing)
    return app


def _nothing() -> None:
    """What runs before a command."""
