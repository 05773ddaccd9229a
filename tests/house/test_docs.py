"""The documents, held to the code: commands, flags, settings and their defaults, links, pictures, the first screen."""

import ast
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, cast

import pytest
import typer
from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import AliasChoices, SecretStr

import settings
from backend.app import Routes
from backend.metrics import Metrics
from tests.house.project import ROOMS, ROOT, sources, tracked

DOCUMENTS = [path for path in tracked() if path.suffix == ".md"]
PAGES = [path for path in DOCUMENTS if path.parts[0] == "docs" or len(path.parts) == 1]
FENCE = re.compile(r"^ *```[a-z]*\n(.*?)^ *```$", re.M | re.S)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"python -m (?P<room>model|backend|trainer|proof)\b(?!\.) *(?P<rest>[^\n|`]*)")
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
# Flags of tools that are not ours, as the documents use them.
FOREIGN_FLAGS = {"--detach", "--build", "--profile", "--nproc-per-node"}


class Parameter(Protocol):
    opts: list[str]
    secondary_opts: list[str]


@cache
def commands(room: str) -> dict[str, frozenset[str]]:
    """The commands of `python -m room`, each with the flags that its `--help` lists; none for a room without any."""
    if not (ROOT / room / "__main__.py").exists():
        return {}
    app = cast(typer.Typer, import_module(f"{room}.__main__").app)
    group = cast(Any, typer.main.get_command(app))
    context = group.make_context(f"python -m {room}", [], resilient_parsing=True)
    names = group.list_commands(context)
    return {name: flags_of(group.get_command(context, name).params) for name in names}


def flags_of(parameters: list[Parameter]) -> frozenset[str]:
    flags = {flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)}
    return frozenset({"--help", *(flag for flag in flags if flag.startswith("--"))})


def commands_in(tree: ast.Module) -> list[str]:
    """Command lines that this source's texts (errors, help, docstrings) tell a user to type."""
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    lines = [match.group(0) for text in texts for match in COMMAND.finditer(text)]
    return [re.split(r"[);]|[,.:] ", line)[0] for line in lines]


def text_of(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def code_of(path: Path) -> list[str]:
    """Every line of fenced code and every piece of inline code, comments cut off."""
    text = text_of(path)
    fenced = [line for block in FENCE.findall(text) for line in block.splitlines()]
    inline = CODE.findall(FENCE.sub("", text))
    return [re.sub(r"(^|\s)#.*$", "", line).rstrip() for line in [*fenced, *inline]]


def named_commands() -> list[tuple[Path, str]]:
    return [(path, line) for path in DOCUMENTS for line in code_of(path) if COMMAND.search(line)]


@pytest.mark.parametrize(("path", "line"), named_commands(), ids=lambda value: str(value))
def test_named_commands_and_flags_exist(path: Path, line: str) -> None:
    match = COMMAND.search(line)
    assert match
    known = commands(match["room"])
    words = match["rest"].split()
    if not words:
        return
    assert words[0] in known, f"{path}: python -m {match['room']} has {sorted(known)}, not {words[0]}"
    unknown = set(FLAG.findall(match["rest"])) - known[words[0]]
    assert unknown == set(), f"{path}: `{line}` has {sorted(known[words[0]])}"


@pytest.mark.parametrize("path", sources(*ROOMS), ids=str)
def test_commands_that_our_messages_name_exist(path: Path) -> None:
    for line in commands_in(ast.parse(text_of(path))):
        match = COMMAND.match(line)
        assert match
        known, words = commands(match["room"]), re.findall(r"[a-z-]+", match["rest"])
        if words:
            assert words[0] in known, f"{path} tells the reader to type: {line}"
            assert set(FLAG.findall(line)) <= known[words[0]], f"{path} tells the reader to type: {line}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_flags_named_alone_exist_somewhere(path: Path) -> None:
    ours = set().union(
        *(flags for room in ("model", "backend", "trainer", "proof") for flags in commands(room).values())
    )
    named = {flag for line in code_of(path) if not COMMAND.search(line) for flag in FLAG.findall(line)}
    assert named - ours - FOREIGN_FLAGS == set()


def test_make_targets_exist() -> None:
    named = {word for path in DOCUMENTS for line in code_of(path) for word in re.findall(r"\bmake ([a-z-]+)", line)}
    targets = set(re.findall(r"^([a-z-]+):", text_of(Path("Makefile")), re.M))
    assert named and named <= targets


@dataclass(frozen=True)
class Documented:
    default: str
    meaning: str


def documented_settings() -> dict[str, Documented]:
    """The rows of the settings table, by name."""
    section = text_of(Path("docs/operations.md")).split("## Settings")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| `?([^|`]+)`? \| (.+) \|$", section, re.M)
    return {name: Documented(default.strip(), meaning) for name, default, meaning in rows}


def default_of(name: str) -> str:
    field = settings.Settings.model_fields[name]
    empty = field.default_factory is not None or field.default in (None, ())
    return "not set" if empty else str(field.default)


def test_every_setting_is_documented_with_its_default() -> None:
    documented = documented_settings()
    assert set(documented) == {name.upper() for name in settings.Settings.model_fields}
    defaults = {name.upper(): default_of(name) for name in settings.Settings.model_fields}
    assert {name: row.default for name, row in documented.items()} == defaults


def test_other_names_of_settings_are_documented_and_no_secret_has_a_default() -> None:
    documented = documented_settings()
    for name, field in settings.Settings.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else []
        for alias in (str(alias).upper() for alias in aliases):
            assert alias == name.upper() or f"`{alias}`" in documented[name.upper()].meaning
        assert not isinstance(field.default, SecretStr)


def test_every_address_and_every_metric_is_documented() -> None:
    section = text_of(Path("docs/operations.md")).split("## Watching it")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`/.*?) \| ([A-Z, ]+) \| (.+) \|$", section, re.M)
    documented = {path: set(methods.split(", ")) for paths, methods, _ in rows for path in CODE.findall(paths)}
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    object.__new__(Routes).join(app)
    assert documented == {route.path: route.methods for route in app.routes if isinstance(route, APIRoute)}
    metrics = {metric.name for metric in Metrics().registry.collect()}
    assert {name for name in CODE.findall(section) if name.startswith("recaption_")} == metrics


def slug(heading: str) -> str:
    """The anchor that a heading gets on a code host."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@pytest.mark.parametrize("path", DOCUMENTS, ids=str)
def test_links_and_pictures_lead_somewhere(path: Path) -> None:
    for target in LINK.findall(FENCE.sub("", text_of(path))):
        if "://" in target or target.startswith("mailto:"):
            continue
        file, _, anchor = target.partition("#")
        there = (ROOT / path.parent / file).resolve() if file else ROOT / path
        assert there.exists(), f"{path} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", there.read_text(encoding="utf-8"), re.M)
            assert anchor in {slug(heading) for heading in headings}, f"{path} links to {target}"


def test_the_first_screen_is_a_sentence_a_picture_two_commands_and_what_to_expect() -> None:
    """A reader decides within one screen: blocks of the README, in this order, within 30 lines."""
    screen = "\n".join(text_of(Path("README.md")).splitlines()[:30])
    blocks = screen.split("\n\n")
    assert blocks[0].startswith("# ")
    assert len(re.findall(r"[.!?](?:\s|$)", blocks[1])) == 1
    assert re.fullmatch(r"!\[[^\]]{20,}\]\(docs/[\w-]+\.(png|gif)\)", blocks[2])
    assert re.findall(r"^make \w+", blocks[3], re.M) == ["make run", "make test"]
    assert blocks[4].startswith("**What to expect.**")


def test_the_changelog_speaks_of_this_version_and_gives_figures() -> None:
    version = tomllib.loads(text_of(Path("pyproject.toml")))["project"]["version"]
    newest = re.split(r"^## ", text_of(Path("CHANGELOG.md")), flags=re.M)[1]
    assert newest.startswith(f"{version}\n")
    assert re.search(r"\d", newest.removeprefix(version))


def test_every_page_is_reached_from_the_readme() -> None:
    seen, waiting = set[Path](), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in seen or not page.exists():
            continue
        seen.add(page)
        links = (link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")))
        waiting += [(page.parent / link).resolve() for link in links if link.endswith(".md") and "://" not in link]
    assert {ROOT / path for path in PAGES} <= seen
