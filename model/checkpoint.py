"""A checkpoint is a folder: everything that a captioner needs to serve, and nothing that can run code.

    encoder.safetensors  decoder.safetensors   weights, float16
    config.json          architecture, preprocessing, decoding, schema version
    vocabulary.json      the words, in index order
    manifest.json        sha256 and size of every file, parent, data, validation figures, seed, library versions

Encoder and decoder are separate files: an update that leaves the encoder alone shares it, on disk and in memory.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from model import preprocess
from model.decoder import Decoder, DecoderConfig
from model.durable import sync
from model.encoder import STAGES, Encoder
from model.vocabulary import Vocabulary, VocabularyError

SCHEMA = 1
FILES = ("encoder.safetensors", "decoder.safetensors", "config.json", "vocabulary.json")


class CheckpointError(ValueError):
    """A checkpoint folder that cannot be served: names the file, what was found and what is expected."""


@dataclass(frozen=True)
class Decoding:
    """How captions are searched: chosen on the validation split, shipped with the weights."""

    beam: int = 3
    length_power: float = 0.0


@dataclass(frozen=True)
class Config:
    decoder: DecoderConfig
    encoder_width: int = 64
    encoder_blocks: tuple[int, ...] = STAGES
    decoding: Decoding = field(default_factory=Decoding)
    preprocessing: str = preprocess.VERSION
    schema: int = SCHEMA


@dataclass(frozen=True)
class Head:
    """All of a checkpoint but its weights."""

    config: Config
    vocabulary: Vocabulary
    manifest: dict[str, Any]

    @property
    def version(self) -> str:
        return version_of(self.manifest)


@dataclass
class Checkpoint:
    """A captioner in parts; `manifest` is what `manifest.json` says of it (empty before it was saved)."""

    config: Config
    encoder: Encoder
    decoder: Decoder
    vocabulary: Vocabulary
    manifest: dict[str, Any] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """The version that Label Studio shows: it names the content, so equal names mean equal captions."""
        return version_of(self.manifest)


def create(config: Config, vocabulary: Vocabulary) -> Checkpoint:
    encoder = Encoder(config.encoder_width, config.encoder_blocks)
    return Checkpoint(config, encoder, Decoder(config.decoder), vocabulary)


def save(checkpoint: Checkpoint, folder: Path, facts: dict[str, Any]) -> Path:
    """Write `checkpoint` to `folder`, replacing it whole, never half. `facts` go into the manifest.

    Sets `checkpoint.manifest`. The folder is staged beside its place, synced, then renamed.
    """
    stage = folder.with_name(f".{folder.name}.{os.getpid()}.stage")
    shutil.rmtree(stage, ignore_errors=True)
    stage.mkdir(parents=True)
    save_weights(checkpoint.encoder, stage / "encoder.safetensors")
    save_weights(checkpoint.decoder, stage / "decoder.safetensors")
    write_json(stage / "config.json", asdict(checkpoint.config))
    checkpoint.vocabulary.save(stage / "vocabulary.json")
    files = {name: {"sha256": sha256(stage / name), "bytes": (stage / name).stat().st_size} for name in FILES}
    checkpoint.manifest = {"id": content_id(files), "files": files} | provenance() | facts
    write_json(stage / "manifest.json", checkpoint.manifest)
    for path in (*stage.iterdir(), stage):
        sync(path)
    if folder.exists():
        old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
        folder.rename(old)
        stage.rename(folder)
        shutil.rmtree(old)
    else:
        stage.rename(folder)
    sync(folder.parent)
    return folder


def load(folder: Path, *, verify: bool = True, encoder: Encoder | None = None) -> Checkpoint:
    """Read a checkpoint folder, float32, in evaluation mode. Raises CheckpointError.

    With `verify`, every file must have the size and sha256 that the manifest states. `encoder` is one in memory that
    has these very weights: it is shared, and the file is not read.
    """
    head = load_head(folder, verify=verify)
    encoder = encoder or load_encoder(folder, head.config)
    return Checkpoint(head.config, encoder, load_decoder(folder, head.config), head.vocabulary, head.manifest)


def load_head(folder: Path, *, verify: bool = True) -> Head:
    """Read what is not weights; with `verify`, check the weights' files all the same. Raises CheckpointError."""
    manifest = read_json(folder / "manifest.json")
    if verify:
        check_files(folder, manifest)
    config = read_config(folder / "config.json")
    try:
        vocabulary = Vocabulary.load(folder / "vocabulary.json")
    except VocabularyError as error:
        raise CheckpointError(str(error)) from error
    if len(vocabulary) != config.decoder.vocabulary:
        raise CheckpointError(
            f"{folder}: vocabulary.json has {len(vocabulary)} words, config.json says {config.decoder.vocabulary}"
        )
    return Head(config, vocabulary, manifest)


def load_encoder(folder: Path, config: Config) -> Encoder:
    encoder = Encoder(config.encoder_width, config.encoder_blocks)
    load_weights(encoder, folder / "encoder.safetensors")
    return encoder


def load_decoder(folder: Path, config: Config) -> Decoder:
    with torch.device("meta"):  # to draw random weights first would take longer than to read the real ones
        decoder = Decoder(config.decoder)
    load_weights(decoder.to_empty(device="cpu"), folder / "decoder.safetensors")
    return decoder


def check_files(folder: Path, manifest: dict[str, Any], digest: Callable[[Path], str] | None = None) -> None:
    """Raises CheckpointError unless every file is there as the manifest states. `digest` may remember what it read."""
    digest = digest or sha256
    for name in FILES:
        stated = manifest.get("files", {}).get(name)
        path = folder / name
        if not path.is_file() or stated is None:
            raise CheckpointError(f"{folder}: {name} is missing; a checkpoint has {', '.join(FILES)} and manifest.json")
        if path.stat().st_size != stated["bytes"] or digest(path) != stated["sha256"]:
            raise CheckpointError(f"{path} is not the file that manifest.json states: it is torn or was changed")


def read_config(path: Path) -> Config:
    raw = read_json(path)
    if raw.get("schema") != SCHEMA:
        raise CheckpointError(f"{path}: schema {raw.get('schema')!r}; this release reads {SCHEMA}")
    if raw.get("preprocessing") != preprocess.VERSION:
        raise CheckpointError(
            f"{path}: trained on {raw.get('preprocessing')!r} pictures; this release makes {preprocess.VERSION!r}"
        )
    try:
        return Config(
            decoder=DecoderConfig(**raw["decoder"]),
            encoder_width=raw["encoder_width"],
            encoder_blocks=tuple(raw["encoder_blocks"]),
            decoding=Decoding(**raw["decoding"]),
        )
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{path}: not a captioner's configuration ({error})") from error


def save_weights(module: torch.nn.Module, path: Path) -> None:
    state = {k: v.detach().cpu().half().contiguous() for k, v in module.state_dict().items() if v.is_floating_point()}
    save_file(state, path)
    path.chmod(0o644)  # safetensors creates files only their owner can read; who serves is not always who trains


def load_weights(module: torch.nn.Module, path: Path) -> None:
    try:
        state = {key: value.float() for key, value in load_file(path).items()}
    except Exception as error:  # safetensors raises SafetensorError, OSError and ValueError alike
        raise CheckpointError(f"{path} is not a readable .safetensors file ({error})") from error
    state |= {key: value for key, value in module.state_dict().items() if key.endswith("num_batches_tracked")}
    try:
        module.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit its config.json: {error}") from error
    module.eval()


def provenance() -> dict[str, Any]:
    versions = {"python": platform.python_version(), "torch": torch.__version__}
    return {"created": datetime.now(UTC).isoformat(timespec="seconds"), "libraries": versions}


def version_of(manifest: dict[str, Any]) -> str:
    return f"recaption-{manifest['id']}" if "id" in manifest else "recaption-unsaved"


def content_id(files: dict[str, dict[str, Any]]) -> str:
    return hashlib.sha256("".join(files[name]["sha256"] for name in sorted(files)).encode()).hexdigest()[:10]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be read ({error}); is {path.parent} a checkpoint folder?") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected an object")
    return content
