"""The engines that can run on this machine's CPU, and a captioner on one of them.

Conversion is no part of what is measured: `prepare` does it once, and every process finds its result on disk.
"""

from __future__ import annotations

import logging
from pathlib import Path

from model.bench.blip import BenchError
from model.captioner import Captioner
from model.engines.engine import AUTO, INT8, TORCH, EngineError
from model.engines.opening import Wanted, open_captioner, open_exactly

log = logging.getLogger(__name__)

ALL = (*INT8, TORCH)


def prepare(checkpoint: Path, entries: Path) -> list[str]:
    """The names of those that can run, the one that is chosen automatically first. What must be converted is kept in
    `entries`. Raises CheckpointError."""
    default = open_captioner(checkpoint, Wanted(AUTO, "cpu", entries=entries)).engine.name
    here = [default]
    for name in ALL:
        try:
            if name != default:
                here.append(open_exactly(checkpoint, Wanted(name, "cpu", entries=entries)).engine.name)
        except EngineError as error:
            log.warning("without %s: %s", name, error)
    return here


def load(checkpoint: Path, engine: str, threads: int, entries: Path) -> Captioner:
    """Raises BenchError if this engine cannot be had, and CheckpointError."""
    captioner = open_captioner(checkpoint, Wanted(engine, "cpu", threads, entries), verify=False)
    if captioner.engine.name != engine:
        raise BenchError(f"engine {engine!r} cannot be had: {captioner.fallback}")
    return captioner
