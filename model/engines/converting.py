"""Makes the int8 graphs of a checkpoint folder, judges them, and keeps them on disk.

    python -m model.engines.converting FOLDER ENTRIES RUNTIME PARENT

It is a process of its own: a conversion takes most of a minute and a gigabyte of memory, of which one that serves
would never give back a part. An encoder is converted once for all versions that share it. What is needed to judge
another decoder, how the encoder sees the pictures in float32 and in int8, is kept with it: so a new decoder costs
seconds, no calibration.
"""

from __future__ import annotations

import io
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from model.checkpoint import Config, Head, load_decoder, load_encoder, load_head, sha256
from model.decoder import Decoder
from model.devices import set_threads
from model.durable import make_folder
from model.encoder import Encoder
from model.engines.calibration import calibrate, normalised
from model.engines.decoder_graph import begin_graph, read_graph, step_graph
from model.engines.encoder_graph import encoder_graph
from model.engines.engine import ONNXRUNTIME, OPENVINO, EngineError
from model.engines.entries import Entries
from model.engines.int8 import BEGIN, ENCODER, READ, STEP, Int8Decoder, Int8Encoder, missing
from model.engines.onnx_runtime import Array
from model.engines.onnxruntime_graph import OnnxRuntimeWriter
from model.engines.openvino_graph import OpenVinoWriter
from model.engines.pictures import free_pictures
from model.engines.rounding import round_encoder
from model.engines.verdict import Verdict, judge
from model.preprocess import to_float

log = logging.getLogger(__name__)

# Part of every entry's name: changes whenever the same weights would be converted to something else.
CONVERTERS = {OPENVINO: "openvino-3", ONNXRUNTIME: "onnxruntime-5"}
WRITERS = {OPENVINO: OpenVinoWriter, ONNXRUNTIME: OnnxRuntimeWriter}
BATCH = 4
FLOATS, INTEGERS = "seen.float32.npy", "seen.int8.npy"


def entries_of(folder: Path, runtime: str, digest: Callable[[Path], str] = sha256) -> Entries:
    return Entries(folder, CONVERTERS[runtime], digest)


def found(head: Head, entries: Entries, *, in_memory: bool = False) -> tuple[Path, Path, Verdict] | None:
    """The converted encoder's folder, the decoder's, and what was found of the pair; None where one is missing. An
    encoder that is `in_memory` already is not read again to see whether it is whole."""
    name = encoder_name(head, entries)
    if not in_memory and entries.find(name) is None:
        return None
    decoder = entries.find(decoder_name(head, entries))
    return None if decoder is None else (entries.folder / name, decoder[0], Verdict(**decoder[1]["verdict"]))


def ensured(
    folder: Path, head: Head, entries: Entries, runtime: str, *, in_memory: bool = False
) -> tuple[Path, Path, Verdict] | None:
    """As `found`, once what is missing has been converted. Raises EngineError."""
    if advice := missing(runtime):
        raise EngineError(advice)
    here = found(head, entries, in_memory=in_memory)
    if here is None:
        convert_apart(folder, entries.folder, runtime)
        here = found(head, entries, in_memory=in_memory)
    return here


def convert(folder: Path, entries_at: Path, runtime: str) -> None:
    """Make what is missing. Raises EngineError, CheckpointError and OSError."""
    make_folder(entries_at)  # where it cannot be made, that is known before a minute's work
    entries = entries_of(entries_at, runtime)
    head = load_head(folder, verify=False)
    if (kept := entries.find(encoder_name(head, entries))) is None:
        started = time.monotonic()
        files = convert_encoder(load_encoder(folder, head.config), runtime)
        encoder_at = entries.add(encoder_name(head, entries), files, {})
        log.info("converted the encoder of %s for %s in %.1f s", head.version, runtime, time.monotonic() - started)
    else:
        encoder_at = kept[0]
    if entries.find(decoder_name(head, entries)) is None:
        started = time.monotonic()
        files, verdict = convert_decoder(load_decoder(folder, head.config), encoder_at, head.config)
        entries.add(decoder_name(head, entries), files, {"verdict": asdict(verdict)})
        told = f"{time.monotonic() - started:.1f} s: {verdict}"
        log.info("converted the decoder of %s for %s in %s", head.version, runtime, told)


def convert_apart(folder: Path, entries_at: Path, runtime: str) -> None:
    """`convert`, in a process of its own with one thread and this thread's priority. Raises EngineError."""
    told = [str(folder.absolute()), str(entries_at.absolute()), runtime, str(os.getpid())]
    home = Path(__file__).parents[2]  # where the package `model` lies
    command = [sys.executable, "-m", "model.engines.converting", *told]
    done = subprocess.run(command, cwd=home, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    lines = done.stderr.strip().splitlines()
    if done.returncode:
        reason = lines[-1] if lines else f"it ended with {done.returncode}"
        raise EngineError(f"it could not be converted to int8: {reason}")
    for line in lines:
        log.info("%s", line)


def encoder_name(head: Head, entries: Entries) -> str:
    return entries.name("encoder", digest(head, "encoder"))


def decoder_name(head: Head, entries: Entries) -> str:
    return entries.name("decoder", digest(head, "encoder"), digest(head, "decoder"))


def digest(head: Head, part: str) -> str:
    return str(head.manifest["files"][f"{part}.safetensors"]["sha256"])


def convert_encoder(encoder: Encoder, runtime: str) -> dict[str, bytes]:
    """The graph, and what the encoder sees in the free pictures before and after. Raises EngineError."""
    pictures = free_pictures()
    ranges, before = calibrate(encoder, pictures)
    writer = WRITERS[runtime]
    weights = round_encoder(encoder, ranges, normalised(encoder, pictures), writer.is_wide)
    graph = encoder_graph(encoder, writer(ranges, weights))
    converted = Int8Encoder(runtime, graph, threads=1)
    photos = [to_float(pixels) for pixels in pictures]
    batches = (np.stack(photos[start : start + BATCH]) for start in range(0, len(photos), BATCH))
    after = np.concatenate([converted(batch) for batch in batches])
    return {ENCODER: graph, FLOATS: saved(before.numpy()), INTEGERS: saved(after)}


def convert_decoder(decoder: Decoder, encoder_at: Path, config: Config) -> tuple[dict[str, bytes], Verdict]:
    """The graphs, and how their captions of the free pictures compare with the decoder's own. Raises EngineError."""
    graphs = {READ: read_graph(decoder), BEGIN: begin_graph(decoder), STEP: step_graph(decoder)}
    before, after = (torch.from_numpy(np.load(encoder_at / name)).float() for name in (FLOATS, INTEGERS))
    return graphs, judge(decoder, before, Int8Decoder(graphs), after, config.decoding)


def saved(grid: Array) -> bytes:
    """As a .npy file in half precision: what is read back differs by less than rounding to int8 does."""
    file = io.BytesIO()
    np.save(file, grid.astype(np.float16))
    return file.getvalue()


def end_with(parent: int) -> None:
    """Nobody waits for a conversion whose parent has been stopped or killed."""
    while os.getppid() == parent:
        time.sleep(1.0)
    os._exit(1)


def main(folder: str, entries: str, runtime: str, parent: str) -> None:
    logging.basicConfig(level="INFO", format="%(message)s")
    threading.Thread(target=end_with, args=(int(parent),), daemon=True).start()
    set_threads(1)
    convert(Path(folder), Path(entries), runtime)


if __name__ == "__main__":
    main(*sys.argv[1:])
