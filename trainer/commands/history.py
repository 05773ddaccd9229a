"""`python -m trainer history`: what was promoted, rejected and rolled back, and why."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich import box
from rich.console import Console
from rich.table import Table

from model.store import Store
from settings import load
from trainer.commands.errors import user_errors
from trainer.commands.pointers import checked_project, existing_store

COLOURS = {"promotion": "green", "rollback": "yellow", "failure": "red"}


def history(
    project: Annotated[
        str | None,
        typer.Option(help="The project's number, or default; all if none is given.", callback=checked_project),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line, with every figure.")] = False,
) -> None:
    """What was promoted, rejected and rolled back, oldest first; then who serves, and which versions there are."""
    with user_errors():
        store = existing_store(load())
        lines = store.history(project)
        if as_json:
            for line in lines:
                typer.echo(json.dumps(line, ensure_ascii=False))
            return
        console = Console()
        console.print(table(lines) if lines else f"Nothing happened yet{f' in project {project}' if project else ''}.")
        for text in standing(store, project):
            console.print(text, highlight=False, markup=False, soft_wrap=True)


def table(lines: list[dict[str, Any]]) -> Table:
    found = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("when", "project", "event", "version", "BLEU-4", "why"):
        found.add_column(heading, no_wrap=heading not in ("why", "when"), overflow="fold")
    for line in lines:
        event, version = str(line["event"]), line.get("challenger") or line.get("version") or ""
        colour = COLOURS.get(event, "default")
        when = str(line["at"]).replace("T", " ").removesuffix("+00:00")
        cells = (when, str(line["project"]), f"[{colour}]{event}[/]", version, gain(line), plain(str(line["reason"])))
        found.add_row(*cells)
    return found


def gain(line: dict[str, Any]) -> str:
    """From the champion's to the challenger's, on the photos that decided."""
    gate = line.get("gate", {})
    comparison = gate.get(gate.get("decides"), {}).get("comparison")
    return f"{comparison['champion']:.2f} -> {comparison['challenger']:.2f}" if comparison else ""


def plain(text: str) -> str:
    """Square brackets are markup to rich."""
    return text.replace("[", r"\[")


def standing(store: Store, project: str | None) -> list[str]:
    refs = {name: champion for name, champion in store.refs().items() if project in (None, name)}
    served = [
        f"{name}: {ref.version} (epoch {ref.epoch}, before: {ref.previous or 'none'})" for name, ref in refs.items()
    ]
    return ["serves   " + ("; ".join(served) or "default's champion"), "versions " + ", ".join(store.versions())]
