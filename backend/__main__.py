"""`python -m backend`: serve captions to Label Studio, and look after the connection."""

import importlib

import typer
from typer.core import TyperGroup

COMMANDS = ("serve", "config", "connect", "doctor", "prelabel", "run")


class Commands(TyperGroup):
    """Imports a command when it is typed: `serve` should not wait for what only `run` needs."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer narrows the context
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def, override]  # likewise
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"backend.commands.{cmd_name}")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(cmd_name)(getattr(module, cmd_name))
        return typer.main.get_command(single)


# A traceback with local variables would show secrets.
app = typer.Typer(
    cls=Commands, help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def main() -> None:
    """Serve captions to Label Studio, and look after the connection."""


if __name__ == "__main__":
    app(prog_name="python -m backend")
