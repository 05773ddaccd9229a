"""The bench as a picture: what one photo takes beside what it is compared with, and what photos in a batch gain."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter

from model.bench.measure import HEADLINE_BEAM
from model.bench.subjects import BLIP, ENGINE, FLOOR, NAIVE
from model.bench.table import NAMES, Row

COLOURS = {ENGINE: "tab:orange", FLOOR: "silver", NAIVE: "tab:blue", BLIP: "tab:blue"}
STYLES = {1: "--", 2: "-"}


def plot(found: Sequence[Row], path: Path) -> Path:
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    FigureCanvasAgg(figure)
    alone, together = figure.subplots(1, 2)
    one_photo(alone, [row for row in found if (row.cores, row.batch) == (1, 1)])
    batches(together, [row for row in found if (row.subject, row.beam) == (ENGINE, HEADLINE_BEAM)])
    figure.savefig(path, dpi=110)
    return path


def one_photo(axes: Axes, found: Sequence[Row]) -> None:
    """Milliseconds, slowest on top; on a log scale, since the ratios are what matters."""
    shown = sorted((row for row in found if row.beam in (0, HEADLINE_BEAM)), key=lambda row: row.photo_ms)
    names = [f"{NAMES[row.subject]}, {row.engine}" if row.engine else NAMES[row.subject] for row in shown]
    times = [row.photo_ms for row in shown]
    bars = axes.barh(names, times, color=[COLOURS[row.subject] for row in shown])
    axes.bar_label(bars, [f" {time:.0f} ms" for time in times], fontsize=8)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlim(min(times, default=1) / 2, max(times, default=1) * 2.5)
    axes.set_xlabel(f"one photo, one core, beam {HEADLINE_BEAM}")


def batches(axes: Axes, found: Sequence[Row]) -> None:
    for engine, cores in sorted({(row.engine, row.cores) for row in found}, reverse=True):
        rows = sorted((r for r in found if (r.engine, r.cores) == (engine, cores)), key=lambda row: row.batch)
        label = f"{engine}, {cores} core{'s' * (cores > 1)}"
        sizes, rates = [row.batch for row in rows], [row.photos_per_s for row in rows]
        axes.plot(sizes, rates, STYLES.get(cores, ":"), marker=".", label=label)
    axes.set_xscale("log", base=2)
    at_once = sorted({row.batch for row in found})
    axes.set_xticks(at_once, [str(batch) for batch in at_once])
    most = max((row.photos_per_s for row in found), default=1)
    # Room above the lines for what they are called.
    axes.set(xlabel=f"photos at once, beam {HEADLINE_BEAM}", ylabel="photos a second", ylim=(0, 1.5 * most))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, ncols=2, loc="upper left")
