"""`python -m trainer prune`: remove versions that nobody needs any more."""

from __future__ import annotations

from typing import Annotated

import typer

from settings import load
from trainer.commands.errors import user_errors
from trainer.commands.pointers import existing_store


def prune(
    older_than: Annotated[float, typer.Option(min=1, help="Days: younger versions stay.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
) -> None:
    """Remove versions that serve nowhere and that no rollback leads to, and what was converted from them."""
    with user_errors():
        from model.pruning import DAY_S, spare
        from model.pruning import prune as remove

        store = existing_store(load())
        found = spare(store, older_than * DAY_S)
        if not dry_run:
            remove(store, found)
    for name in (*found.versions, *(path.name for path in found.converted)):
        typer.echo(name)
    title = "would be removed" if dry_run else "removed"
    counts = f"versions: {len(found.versions)}, converted models: {len(found.converted)}"
    typer.echo(f"{title}: {counts}, {found.size / 1e6:.0f} MB")
