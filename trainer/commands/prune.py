"""`python -m trainer prune`: remove versions that nobody needs any more, and what trainings left of them."""

from __future__ import annotations

from typing import Annotated

import typer

from settings import load
from trainer.commands.errors import user_errors
from trainer.commands.pointers import existing_store


def prune(
    older_than: Annotated[float, typer.Option(min=1, help="Days: what is younger stays.")] = 30,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed; remove nothing.")] = False,
) -> None:
    """Remove versions that serve nowhere and that no rollback leads to, what was converted from them, and what ended
    trainings keep of their challengers."""
    with user_errors():
        import shutil

        from model.pruning import DAY_S, freed, spare
        from model.pruning import prune as remove
        from trainer.learning.spent import spent

        store = existing_store(load())
        found = spare(store, older_than * DAY_S)
        challengers = spent(store.root / "runs", older_than * DAY_S)
        size = found.size + freed(challengers)
        if not dry_run:
            remove(store, found)
            for folder in challengers:
                shutil.rmtree(folder)
    runs = (str(folder.parent.relative_to(store.root)) for folder in challengers)
    for name in (*found.versions, *(path.name for path in found.converted), *runs):
        typer.echo(name)
    title = "would be removed" if dry_run else "removed"
    counts = f"versions: {len(found.versions)}, converted models: {len(found.converted)}"
    typer.echo(f"{title}: {counts}, challengers: {len(challengers)}, {size / 1e6:.0f} MB")
