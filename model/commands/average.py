"""`python -m model average`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from model.commands import user_errors


def average(
    checkpoint: Annotated[
        list[Path], typer.Option(help="Checkpoint folder, once for each; all from runs that began at the same one.")
    ],
    out: Annotated[Path, typer.Option(help="Checkpoint folder to write.")],
) -> None:
    """Average the weights of several runs into one checkpoint, which costs no more to serve than one of them.

    Whether it is any better, `python -m model ship` says, which chooses how it decodes as well.
    """
    from model import checkpoint as checkpoints
    from model.averaging import average as mean

    with user_errors():
        found = [checkpoints.load(folder) for folder in checkpoint]
        parents = [one.version for one in found]
        facts = {key: found[0].manifest[key] for key in ("data",) if key in found[0].manifest}
        made = mean(found)
        checkpoints.save(made, out, facts | {"training": {"mean_of": parents}})
    print(f"{made.version} in {out}: the mean of {', '.join(parents)}")
