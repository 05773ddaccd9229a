"""A checkpoint folder to a captioner on the engine that is wanted, or else on the next one with the reason.

    captioner = open_captioner(folder, Wanted("auto", device="auto", threads=2, entries=model_dir / "engines"))
    captioner.engine.name, captioner.fallback           # "openvino", ""

`auto` is int8 where the computing is done by a CPU, in the faster of the runtimes that are installed, and torch
elsewhere. What only int8 needs, a package, a conversion, a place to keep it, may fail without taking the captioner with
it: the other runtime or torch computes the same captions later. Who cannot wait for a conversion, which takes most of
a minute, gets torch at once, and int8 when it asks again.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from model.captioner import Captioner
from model.checkpoint import CheckpointError, Head, load, load_head, sha256
from model.devices import pick_device, set_threads
from model.encoder import Encoder
from model.engines.converting import ensured, entries_of, found
from model.engines.engine import AUTO, INT8, TORCH, Engine, EngineError
from model.engines.int8 import BEGIN, ENCODER, READ, STEP, Int8Decoder, Int8Encoder, Int8Engine, missing, preferred
from model.engines.torch_engine import TorchEngine

log = logging.getLogger(__name__)

ENGINES = (AUTO, TORCH, *INT8)
PENDING = "it is being converted to int8, which takes over when that is done"


@dataclass(frozen=True)
class Wanted:
    """`engine` is one of ENGINES; `threads` are the engine's, 0 for one a core. `entries` is where converted models
    are kept; None: nowhere, so that they are made anew; `digest` may remember what it read there. `half`: torch may
    compute in float16 on a GPU. `wait`: `auto` converts what is not converted; else torch computes, and the captioner
    is `pending`."""

    engine: str = AUTO
    device: str = "auto"
    threads: int = 0
    entries: Path | None = None
    half: bool = False
    wait: bool = True
    digest: Callable[[Path], str] = sha256


def open_captioner(
    folder: Path, wanted: Wanted, *, verify: bool = True, shared: Engine | None = None, loading_threads: int = 0
) -> Captioner:
    """`shared` is an engine in memory whose encoder has this version's weights; `loading_threads` are torch's for this
    thread, 0 for those of the engine. Raises CheckpointError and DeviceError, and EngineError for a name of none."""
    if wanted.engine not in ENGINES:
        raise EngineError(f"there is no engine {wanted.engine!r}; accepted are {', '.join(ENGINES)}")
    cores = set_threads(wanted.threads)
    set_threads(loading_threads or cores)
    device = "cpu" if wanted.engine in INT8 and wanted.device == "auto" else pick_device(wanted.device)
    head = load_head(folder, verify=verify)
    choices = candidates(wanted.engine, device)
    if wanted.engine == AUTO and not wanted.wait and unconverted(head, wanted, choices, shared):
        captioner = on_torch(folder, device, shared, half=wanted.half)
        captioner.fallback, captioner.pending = PENDING, True
        return captioner
    reasons: list[str] = []
    for runtime in choices:
        try:
            captioner = on_int8(folder, head, runtime, replace(wanted, device=device, threads=cores), shared)
            break
        except CheckpointError:
            raise
        except Exception as error:  # the runtime, the disk and the pictures fail in ways that share no base
            reasons.append(f"{runtime}: {error or type(error).__name__}")
            log.debug("why not in %s", runtime, exc_info=True)
    else:
        captioner = on_torch(folder, device, shared, half=wanted.half)
    captioner.fallback = "; ".join(reasons)
    if reasons:
        found = captioner.engine.name
        log.warning("%s is computed by %s, which is slower: %s", head.version, found, captioner.fallback)
    return captioner


def candidates(engine: str, device: str) -> tuple[str, ...]:
    """The int8 runtimes to try, one after another, before torch."""
    if engine == AUTO:
        return preferred() if device == "cpu" else ()
    return (engine,) if engine in INT8 else ()


def open_exactly(folder: Path, wanted: Wanted) -> Captioner:
    """For measurements: raises EngineError where another engine than the one asked for would compute."""
    captioner = open_captioner(folder, wanted)
    if wanted.engine not in (AUTO, captioner.engine.name):
        raise EngineError(f"{wanted.engine} cannot be had here: {captioner.fallback}")
    return captioner


def on_int8(folder: Path, head: Head, runtime: str, wanted: Wanted, shared: Engine | None) -> Captioner:
    """Raises EngineError, CheckpointError, OSError and what the conversion raises."""
    if wanted.device != "cpu":
        raise EngineError(
            f"int8 computes on the CPU, and the device is {wanted.device}; set it to cpu, or the engine to auto"
        )
    if wanted.entries is None:
        with tempfile.TemporaryDirectory(prefix="recaption-engines-") as made:
            return on_int8(folder, head, runtime, replace(wanted, entries=Path(made)), shared)
    encoder = encoder_of(shared, runtime)
    entries = entries_of(wanted.entries, runtime, wanted.digest)
    here = ensured(folder, head, entries, runtime, in_memory=encoder is not None)
    if here is None:
        raise EngineError(f"what was converted is not in {wanted.entries}, or not whole; see that it may be written to")
    encoder_at, decoder_at, verdict = here
    if verdict.fault:
        raise EngineError(f"int8 was refused: {verdict.fault}")
    encoder = encoder or Int8Encoder(runtime, encoder_at / ENCODER, wanted.threads)
    decoder = Int8Decoder({name: decoder_at / name for name in (READ, BEGIN, STEP)})
    return Captioner(head, engine=Int8Engine(encoder, decoder))


def encoder_of(shared: Engine | None, runtime: str) -> Int8Encoder | None:
    """That of an engine in memory, if it is one of this runtime."""
    encoder = shared.encoder if shared is not None else None
    return encoder if isinstance(encoder, Int8Encoder) and encoder.runtime == runtime else None


def unconverted(head: Head, wanted: Wanted, choices: tuple[str, ...], shared: Engine | None) -> bool:
    """Whether what would serve has to be converted first: the first choice, or what comes after those refused."""
    for runtime in (one for one in choices if not missing(one)):
        if wanted.entries is None:
            return True
        entries = entries_of(wanted.entries, runtime, wanted.digest)
        here = found(head, entries, in_memory=encoder_of(shared, runtime) is not None)
        if here is None or not here[2].fault:
            return here is None
    return False


def on_torch(folder: Path, device: str, shared: Engine | None, *, half: bool) -> Captioner:
    encoder = shared.encoder if shared is not None else None
    checkpoint = load(folder, verify=False, encoder=encoder if isinstance(encoder, Encoder) else None)
    engine = TorchEngine(checkpoint.encoder, checkpoint.decoder, device, half=half)
    return Captioner(checkpoint, engine=engine)
