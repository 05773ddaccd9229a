"""`python -m trainer promote`: have a version serve, whatever the gate said."""

from __future__ import annotations

from typing import Annotated

import typer

from model.store import Store
from settings import load
from trainer.commands.errors import user_errors
from trainer.commands.pointers import BY, DEFAULT, checked_project, existing_store, moved


def promote(
    version: Annotated[str, typer.Argument(help="A version of the store: python -m trainer history lists them.")],
    project: Annotated[str, typer.Option(help="The project's number, or default.", callback=checked_project)] = DEFAULT,
    reason: Annotated[str, typer.Option(help="Why, for the history.")] = "promoted by hand",
) -> None:
    """Have a version serve a project, or all projects that have none of their own. Trainings under way become stale."""
    with user_errors():
        store = existing_store(load())
        version = full_name(store, version)
        own, before = store.own_champion(project), store.champion(project)
        if own is not None and own.version == version:
            typer.echo(f"{version} serves {project} already (epoch {own.epoch}): nothing to change.")
            return
        champion = store.promote(version, project, expect_epoch=own.epoch if own else None, by=BY, reason=reason)
    typer.echo(moved(project, before, champion))


def full_name(store: Store, version: str) -> str:
    """The version meant: its name, or the digits alone."""
    return f"recaption-{version}" if f"recaption-{version}" in store.versions() else version
