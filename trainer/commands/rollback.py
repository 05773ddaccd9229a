"""`python -m trainer rollback`: back to the version that served before."""

from __future__ import annotations

from typing import Annotated

import typer

from settings import load
from trainer.commands.errors import user_errors
from trainer.commands.pointers import BY, DEFAULT, checked_project, existing_store, moved


def rollback(
    project: Annotated[str, typer.Option(help="The project's number, or default.", callback=checked_project)] = DEFAULT,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "rolled back by hand",
) -> None:
    """Have the version serve again that served before; twice goes forth again. Trainings under way become stale."""
    with user_errors():
        store = existing_store(load())
        before = store.own_champion(project)
        champion = store.rollback(project, by=BY, reason=reason)
    typer.echo(moved(project, before, champion))
