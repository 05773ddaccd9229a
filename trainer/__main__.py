"""`python -m trainer`: learn from corrections, and look after what was learnt."""

import importlib

import typer
from typer.core import TyperGroup

COMMANDS = ("work", "train", "history", "promote", "rollback")


class Commands(TyperGroup):
    """Imports a command when it is typed: a worker forks, which torch does not survive, so it must not be imported."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]  # typer narrows the context
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str):  # type: ignore[no-untyped-def, override]  # likewise
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"trainer.commands.{cmd_name}")
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(cmd_name)(getattr(module, cmd_name))
        return typer.main.get_command(single)


# A traceback with local variables would show secrets.
app = typer.Typer(
    cls=Commands, help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False
)


@app.callback()
def main() -> None:
    """Learn from corrections, and look after what was learnt."""


if __name__ == "__main__":
    app(prog_name="python -m trainer")
