"""What the commands that move or show pointers share."""

from __future__ import annotations

import typer

from model.store import Champion, Store, StoreError
from settings import Settings

DEFAULT = "default"
BY = "a person"


def checked_project(name: str | None) -> str | None:
    """A project's number, or `default`: nothing else has a pointer."""
    if name is None or name == DEFAULT or (name.isdecimal() and int(name) > 0):
        return name
    raise typer.BadParameter(f"{name!r} is neither a project's number nor {DEFAULT!r}")


def existing_store(settings: Settings) -> Store:
    """Raises StoreError where there is none: these commands look after a store, they make none."""
    store = Store(settings.model_dir)
    if not store.versions():
        raise StoreError(
            f"there is no store in MODEL_DIR={settings.model_dir}. Set MODEL_DIR to one, or begin one with: "
            "python -m backend serve"
        )
    return store


def moved(project: str, before: Champion | None, now: Champion) -> str:
    """The outcome in two lines."""
    came = f"{before.version} -> " if before else ""
    whose = "every project without a champion of its own" if project == DEFAULT else f"project {project}"
    return (
        f"{came}{now.version} (epoch {now.epoch}) serves {whose}. Backends change over within seconds.\n"
        f"Back again with: python -m trainer rollback --project {project}"
    )
