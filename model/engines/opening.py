"""A checkpoint folder to a captioner on the engine that is wanted, or else on torch with the reason.

    captioner = open_captioner(folder, Wanted("auto", device="auto", threads=2, entries=model_dir / "engines"))
    captioner.engine.name, captioner.fallback           # "int8", ""

`auto` is int8 where the computing is done by a CPU and torch elsewhere. What only int8 needs, its package, its
conversion, a place to keep it, may fail without taking the captioner with it: torch computes the same captions later.
Who cannot wait for a conversion, which takes most of a minute, gets torch at once, and int8 when it asks again.
"""

from __future__ import annotations

import logging
import tempfile
from dataclasses import dataclass
from pathlib import Path

from model.captioner import Captioner
from model.checkpoint import CheckpointError, Head, load, load_head
from model.devices import pick_device, set_threads
from model.encoder import Encoder
from model.engines.converting import CONVERTER, ensured, found
from model.engines.engine import AUTO, INT8, TORCH, Engine, EngineError
from model.engines.entries import Entries
from model.engines.int8 import BEGIN, ENCODER, READ, STEP, Int8Decoder, Int8Encoder, Int8Engine
from model.engines.torch_engine import TorchEngine

log = logging.getLogger(__name__)

ENGINES = (AUTO, TORCH, INT8)
PENDING = "it is being converted to int8, which takes over when that is done"


@dataclass(frozen=True)
class Wanted:
    """`engine` is one of ENGINES; `threads` are the engine's, 0 for one a core. `entries` is where converted models
    are kept; None: nowhere, so that they are made anew. `half`: torch may compute in float16 on a GPU. `wait`: `auto`
    converts what is not converted; else torch computes, and the captioner is `pending`."""

    engine: str = AUTO
    device: str = "auto"
    threads: int = 0
    entries: Path | None = None
    half: bool = False
    wait: bool = True


def open_captioner(
    folder: Path, wanted: Wanted, *, verify: bool = True, shared: Engine | None = None, loading_threads: int = 0
) -> Captioner:
    """`shared` is an engine in memory whose encoder has this version's weights; `loading_threads` are torch's for this
    thread, 0 for those of the engine. Raises CheckpointError and DeviceError, and EngineError for a name of none."""
    if wanted.engine not in ENGINES:
        raise EngineError(f"there is no engine {wanted.engine!r}; accepted are {', '.join(ENGINES)}")
    cores = set_threads(wanted.threads)
    set_threads(loading_threads or cores)
    device = "cpu" if (wanted.engine, wanted.device) == (INT8, "auto") else pick_device(wanted.device)
    head = load_head(folder, verify=verify)
    if wanted.engine == AUTO and device == "cpu" and not wanted.wait and unconverted(head, wanted.entries):
        captioner = on_torch(folder, device, shared, half=wanted.half)
        captioner.fallback, captioner.pending = PENDING, True
        return captioner
    fallback = ""
    if wanted.engine == INT8 or (wanted.engine == AUTO and device == "cpu"):
        try:
            return on_int8(folder, head, device, cores, wanted.entries, shared)
        except CheckpointError:
            raise
        except Exception as error:  # the runtime, the disk and the pictures fail in ways that share no base
            fallback = str(error) or type(error).__name__
            log.warning("%s is computed by torch, several times slower than in int8: %s", head.version, fallback)
            log.debug("why not in int8", exc_info=True)
    captioner = on_torch(folder, device, shared, half=wanted.half)
    captioner.fallback = fallback
    return captioner


def open_exactly(folder: Path, wanted: Wanted) -> Captioner:
    """For measurements: raises EngineError where another engine than the one asked for would compute."""
    captioner = open_captioner(folder, wanted)
    if wanted.engine == INT8 and captioner.engine.name != INT8:
        raise EngineError(f"int8 cannot be had here: {captioner.fallback}")
    return captioner


def on_int8(
    folder: Path, head: Head, device: str, threads: int, entries: Path | None, shared: Engine | None
) -> Captioner:
    """Raises EngineError, CheckpointError, OSError and what the conversion raises."""
    if device != "cpu":
        raise EngineError(f"int8 computes on the CPU, and the device is {device}; set it to cpu, or the engine to auto")
    if entries is None:
        with tempfile.TemporaryDirectory(prefix="recaption-engines-") as made:
            return on_int8(folder, head, device, threads, Path(made), shared)
    here = ensured(folder, head, Entries(entries, CONVERTER))
    if here is None:
        raise EngineError(f"what was converted is not in {entries}, or not whole; see that it may be written to")
    encoder_at, decoder_at, verdict = here
    if verdict.fault:
        raise EngineError(f"int8 was refused: {verdict.fault}")
    encoder = shared.encoder if shared is not None else None
    if not isinstance(encoder, Int8Encoder):
        encoder = Int8Encoder({ENCODER: encoder_at / ENCODER}, threads)
    decoder = Int8Decoder({name: decoder_at / name for name in (READ, BEGIN, STEP)})
    return Captioner(head, engine=Int8Engine(encoder, decoder))


def unconverted(head: Head, entries: Path | None) -> bool:
    return entries is None or found(head, Entries(entries, CONVERTER)) is None


def on_torch(folder: Path, device: str, shared: Engine | None, *, half: bool) -> Captioner:
    encoder = shared.encoder if shared is not None else None
    checkpoint = load(folder, verify=False, encoder=encoder if isinstance(encoder, Encoder) else None)
    engine = TorchEngine(checkpoint.encoder, checkpoint.decoder, device, half=half)
    return Captioner(checkpoint, engine=engine)
