"""`python -m model`: train, evaluate and use the captioner from the command line."""

from __future__ import annotations

import typer

from model.commands.average import average
from model.commands.bench import bench
from model.commands.caption import caption
from model.commands.evaluate import evaluate
from model.commands.features import features
from model.commands.report import report
from model.commands.ship import ship
from model.commands.train import train
from model.commands.tune import tune

app = typer.Typer(
    help="The captioner: photos to words, and how it is trained.", no_args_is_help=True, add_completion=False
)
app.command()(train)
app.command()(tune)
app.command()(average)
app.command()(evaluate)
app.command()(caption)
app.command()(features)
app.command()(report)
app.command()(ship)
app.command()(bench)

if __name__ == "__main__":
    app(prog_name="python -m model")
