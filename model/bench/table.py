"""Medians, the table as Markdown, and the ratios that are worth quoting: the times themselves are this machine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from model.bench.measure import HEADLINE_BEAM, Case, Samples
from model.bench.subjects import BLIP, ENGINE, FLOOR, NAIVE
from model.bench.worker import Sample

NAMES = {ENGINE: "ours", FLOOR: "encoder alone", NAIVE: "naive baseline", BLIP: "BLIP-base"}


@dataclass(frozen=True)
class Row:
    """One case. `request_ms` is the time of all its photos together, `core_ms` what a photo takes of the cores' time;
    memory as the process held it then, and the most that it ever held."""

    subject: str
    engine: str
    cores: int
    beam: int
    batch: int
    request_ms: float
    photo_ms: float
    photos_per_s: float
    core_ms: float
    rss_mb: float
    peak_mb: float
    runs: int


def rows(samples: Samples) -> list[Row]:
    """The median of each case."""
    return [row(case, found) for case, found in samples.items()]


def row(case: Case, samples: Sequence[Sample]) -> Row:
    seconds = median(one.seconds for one in samples)
    return Row(
        subject=case.spec.kind,
        engine=case.spec.engine,
        cores=len(case.spec.cores),
        beam=case.beam,
        batch=case.batch,
        request_ms=seconds * 1000,
        photo_ms=seconds / case.batch * 1000,
        photos_per_s=case.batch / seconds,
        core_ms=median(one.core_seconds for one in samples) / case.batch * 1000,
        rss_mb=median(one.rss_mb for one in samples),
        peak_mb=max(one.peak_mb for one in samples),
        runs=len(samples),
    )


def ratios(found: Sequence[Row], default: str, server: Mapping[str, float] | None) -> dict[str, float | None]:
    """One photo on one core at beam 3, the default engine's time as 1; and what the server makes of two cores. None
    where a part of it was not measured."""

    def one_photo(subject: str, engine: str = "") -> float | None:
        wanted = (subject, engine, 1, 0 if subject == FLOOR else HEADLINE_BEAM, 1)
        times = [r.photo_ms for r in found if (r.subject, r.engine, r.cores, r.beam, r.batch) == wanted]
        return times[0] if times else None

    ours = one_photo(ENGINE, default)

    two_cores = over(server["photos_per_s"], 2 * server["one_core_photos_per_s"]) if server else None
    return {
        "naive_over_ours": over(one_photo(NAIVE), ours),
        "ours_over_floor": over(ours, one_photo(FLOOR, default)),
        "blip_over_ours": over(one_photo(BLIP), ours),
        "two_cores_over_one": two_cores,
    }


def best_batch(found: Sequence[Row], engine: str) -> int:
    """How many photos at once give one core the most photos a second."""
    alone = [r for r in found if (r.subject, r.engine, r.cores, r.beam) == (ENGINE, engine, 1, HEADLINE_BEAM)]
    return max(alone, key=lambda r: r.photos_per_s).batch if alone else 1


def over(top: float | None, bottom: float | None) -> float | None:
    return None if top is None or bottom is None else top / bottom


def markdown(found: Sequence[Row], default: str) -> str:
    """The table, ready for a document."""
    lines = [
        "| what | cores | beam | photos at once | ms a photo | photos a second | memory, MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for r in sorted(found, key=lambda r: (list(NAMES).index(r.subject), r.engine != default, r.engine, r.cores)):
        what = f"{NAMES[r.subject]}, {r.engine}" if r.engine else NAMES[r.subject]
        shown = (r.cores, r.beam or "", r.batch, f"{r.photo_ms:.1f}", f"{r.photos_per_s:.1f}", f"{r.rss_mb:.0f}")
        lines.append(f"| {what} | " + " | ".join(map(str, shown)) + " |")
    return "\n".join(lines)
