"""`python -m model bench`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from model.commands.options import CheckpointOption
from model.starter import STARTER

PARTS = ("floor", "naive", "blip", "server")


def bench(
    checkpoint: CheckpointOption = STARTER,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write everything to this file.")] = None,
    picture: Annotated[Path | None, typer.Option("--plot", help="Draw the table to this file.")] = None,
    engine: Annotated[list[str] | None, typer.Option(help="Once for each; all that run here.")] = None,
    beam: Annotated[list[int] | None, typer.Option(min=1, max=20, help="Once for each; 1, 3 and 5.")] = None,
    batch: Annotated[list[int] | None, typer.Option(min=1, max=64, help="Once for each; 1, 4, 16 and 64.")] = None,
    without: Annotated[list[str] | None, typer.Option(help=f"Leave out: {', '.join(PARTS)}.")] = None,
    rounds: Annotated[int, typer.Option(min=1, help="Runs of each kind.")] = 7,
    tasks: Annotated[int, typer.Option(min=1, help="Tasks of a request to the real server.")] = 100,
) -> None:
    """How fast captions come on this machine, beside a naive captioner, BLIP-base and the encoder alone.

    A quarter of an hour on an idle machine of two cores; only the ratios say something about other machines.
    """
    from model.bench.blip import BenchError
    from model.bench.plot import plot
    from model.bench.report import Plan, measured
    from model.commands import user_errors

    unknown = sorted(set(without or ()) - set(PARTS))
    if unknown:
        raise typer.BadParameter(f"{', '.join(unknown)}: accepted are {', '.join(PARTS)}", param_hint="--without")
    plan = Plan(
        checkpoint=checkpoint.resolve(),
        engines=tuple(engine or ()),
        beams=tuple(beam or (1, 3, 5)),
        batches=tuple(batch or (1, 4, 16, 64)),
        without=frozenset(without or ()),
        rounds=rounds,
        tasks=tasks,
    )
    with user_errors():
        try:
            found = measured(plan)
        except BenchError as error:
            print(f"error: {error}", file=sys.stderr)
            raise typer.Exit(2) from None
    print(found.text)
    if picture:
        plot(found.rows, picture)
    if json_file:
        json_file.write_text(json.dumps(found.values, indent=1) + "\n", encoding="utf-8")
