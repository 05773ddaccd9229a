"""The whole bench: what is measured, and everything that was found, as text and as JSON."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import torch

from model.bench import engines
from model.bench.blip import BenchError, transformers
from model.bench.measure import HEADLINE_BEAM, cases, measure, specs, words_of
from model.bench.process import Subject
from model.bench.serve import serving
from model.bench.subjects import BLIP, Spec
from model.bench.table import Row, best_batch, markdown, ratios, rows
from model.engines.entries import FOLDER
from model.store import Store

MOST_CORES = 2


@dataclass(frozen=True)
class Plan:
    """`engines` as named, or none for all that run here; `without`: parts to leave out; `tasks` in a request to the
    server."""

    checkpoint: Path
    engines: tuple[str, ...]
    beams: tuple[int, ...]
    batches: tuple[int, ...]
    without: frozenset[str]
    rounds: int
    tasks: int


@dataclass(frozen=True)
class Report:
    text: str
    values: dict[str, Any]
    rows: list[Row]


def measured(plan: Plan) -> Report:
    """Raises BenchError, and CheckpointError where there is no checkpoint."""
    # Said now, and not after the first minutes.
    chosen_engines(engines.ALL, plan.engines)
    if BLIP not in plan.without:
        transformers()
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "models")
        version = store.publish(plan.checkpoint)
        store.promote(version, expect_epoch=None, by="bench", reason="to be measured")
        return _measured(plan, store, version)


def _measured(plan: Plan, store: Store, version: str) -> Report:
    checkpoint, entries, cores = str(store.folder(version)), str(store.root / FOLDER), core_sets()
    chosen = chosen_engines(engines.prepare(Path(checkpoint), Path(entries)), plan.engines)
    subjects = [one for one in specs(checkpoint, entries, cores, chosen) if one.kind not in plan.without]
    words = 0 if BLIP in plan.without else words_of(subjects[0])
    found = rows(measure(cases(subjects, plan.beams, plan.batches), plan.rounds, words))
    server = None
    if "server" not in plan.without and len(cores[-1]) == MOST_CORES:
        server = serve(plan, store.root, subjects[0], cores[-1], best_batch(found, chosen[0]))
    proportions = ratios(found, chosen[0], server)
    values = {
        "machine": machine(),
        "version": version,
        "default_engine": chosen[0],
        "blip_tokens": words,
        "rounds": plan.rounds,
        "rows": [asdict(row) for row in found],
        "server": server,
        "ratios": proportions,
    }
    return Report("\n".join([markdown(found, chosen[0]), "", *sentences(proportions, server)]), values, found)


def chosen_engines(here: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Those asked for, or all; the default one first. Raises BenchError for one that cannot run here."""
    unknown = [name for name in asked if name not in here]
    if unknown:
        raise BenchError(f"engine {unknown[0]!r} cannot run here; accepted are {', '.join(here)}")
    return [name for name in here if name in asked or not asked]


def core_sets() -> list[tuple[int, ...]]:
    """One core, and two where there are two."""
    own = sorted(os.sched_getaffinity(0))
    return [tuple(own[:count]) for count in range(1, min(MOST_CORES, len(own)) + 1)]


def serve(plan: Plan, models: Path, one_core: Spec, cores: Sequence[int], batch: int) -> dict[str, Any]:
    """Bulks to the real server, and in turn with them one core that does nothing but caption, so many at once. The
    first of each is thrown away."""
    with serving(models, one_core.engine, cores, HEADLINE_BEAM) as server, Subject(one_core) as alone:
        taken = [(server.bulk(plan.tasks), alone.run(HEADLINE_BEAM, batch).seconds) for _ in range(plan.rounds + 1)]
        served, captioned = (median(seconds) for seconds in zip(*taken[1:], strict=True))
        return {
            "cores": len(cores),
            "beam": HEADLINE_BEAM,
            "tasks": plan.tasks,
            "photos_per_s": plan.tasks / served,
            "one_core_photos_per_s": batch / captioned,
            "one_core_batch": batch,
            "rss_mb": server.rss_mb,
            "runs": plan.rounds,
        }


def sentences(found: dict[str, float | None], server: dict[str, Any] | None) -> list[str]:
    said = {
        "naive_over_ours": "The naive baseline takes {:.1f} times as long as ours: one photo, one core, beam 3.",
        "blip_over_ours": "BLIP-base takes {:.1f} times as long.",
        "ours_over_floor": "Ours takes {:.2f} times as long as its encoder alone.",
        "two_cores_over_one": "The server on two cores does {:.2f} times twice what one core does alone.",
    }
    lines = [text.format(found[key]) for key, text in said.items() if found[key] is not None]
    if server:
        lines.append(f"The server captions {server['photos_per_s']:.1f} photos a second in {server['rss_mb']:.0f} MB.")
    return lines


def machine() -> dict[str, Any]:
    return {
        "cores": len(os.sched_getaffinity(0)),
        "architecture": platform.machine(),
        "vector_unit": torch.backends.cpu.get_cpu_capability(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
