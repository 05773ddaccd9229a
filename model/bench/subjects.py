"""Everything that is timed: `run(beam, batch)` captions so many photos once, and says how many steps a caption took.

engine   our captioner on one of its engines
floor    that engine's encoder alone
naive    the baseline
blip     BLIP-base
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from model.bench import engines, pictures
from model.bench.blip import BenchError, Blip
from model.bench.naive import NaiveCaptioner
from model.captioner import Captioner

ENGINE, FLOOR, NAIVE, BLIP = "engine", "floor", "naive", "blip"
KINDS = (ENGINE, FLOOR, NAIVE, BLIP)
LARGEST = 64

Run = Callable[[int, int], float | None]


@dataclass(frozen=True)
class Spec:
    """One subject: `kind` of KINDS, the engine that `engine` and `floor` name, the checkpoint folder, the cores to keep
    to, one thread on each, where converted models are kept, and for BLIP how many tokens a caption has."""

    kind: str
    checkpoint: str
    cores: tuple[int, ...]
    engine: str = ""
    entries: str = ""
    words: int = 0


def build(spec: Spec) -> Run:
    """Load it. Raises BenchError, CheckpointError, and what the engine raises that cannot run here."""
    if spec.kind == BLIP:
        return _blip(spec)
    if spec.kind == NAIVE:
        return _naive(spec)
    if spec.kind in (ENGINE, FLOOR):
        return _ours(spec)
    raise BenchError(f"{spec.kind!r} is no subject; accepted are {', '.join(KINDS)}")


def _ours(spec: Spec) -> Run:
    captioner = engines.load(Path(spec.checkpoint), spec.engine, len(spec.cores), Path(spec.entries))
    photos = pictures.photos(LARGEST)

    def caption(beam: int, batch: int) -> float:
        return fmean(len(one.words) + 1 for one in captioner.caption(photos[:batch], beam=beam))

    def encode(beam: int, batch: int) -> None:
        captioner.encode(photos[:batch])

    return caption if spec.kind == ENGINE else encode


def _naive(spec: Spec) -> Run:
    naive = NaiveCaptioner(Captioner.load(Path(spec.checkpoint), device="cpu", threads=len(spec.cores)).checkpoint)
    photos = pictures.photos(LARGEST)
    return lambda beam, batch: fmean(one.steps for one in naive.caption(photos[:batch], beam))


def _blip(spec: Spec) -> Run:
    blip = Blip(spec.words)
    pixels = blip.pixels(1)

    def caption(beam: int, batch: int) -> float:
        return fmean(len(blip.caption(pixels, beam)[0]) - 1 for _ in range(batch))

    return caption
