"""`python -m trainer`: what its commands say and how they end. Trainings themselves are in tests/trainer/learning."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner, Result

from model.devices import DeviceError
from model.store import Store
from settings import SettingsError
from tests.checkpoints import tiny_checkpoint
from tests.house.project import ROOT
from trainer.__main__ import COMMANDS, app
from trainer.learning import run as run_module
from trainer.learning.gather import GatherError


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Two versions; the first serves."""
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "models"))
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "200")
    store = Store(tmp_path / "models")
    first, _ = (store.publish(tiny_checkpoint(tmp_path / str(seed), seed)) for seed in (0, 1))
    store.promote(first, expect_epoch=None, by="test", reason="the first")
    return store


def trainer(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def error(done: Result) -> str:
    assert done.exit_code == 2, done.output
    assert "Traceback" not in done.stderr
    return done.stderr


def test_promote_moves_the_pointer_and_says_what_serves(store: Store) -> None:
    first, second = store.versions()
    done = trainer("promote", second, "--project", "7", "--reason", "it is better [really]")
    assert done.exit_code == 0 and f"{first} -> {second} (epoch 1) serves project 7." in done.output
    assert "python -m trainer rollback --project 7" in done.output
    own = store.own_champion("7")
    assert own is not None and (own.version, own.previous) == (second, first)
    [line] = store.history("7")
    assert (line["reason"], line["by"]) == ("it is better [really]", "a person")


def test_promote_takes_the_digits_alone_and_default_when_no_project_is_named(store: Store) -> None:
    second = store.versions()[1]
    done = trainer("promote", second.removeprefix("recaption-"))
    assert done.exit_code == 0 and "every project without a champion of its own" in done.output
    champion = store.champion()
    assert champion is not None and champion.version == second


def test_promote_what_serves_already_changes_nothing(store: Store) -> None:
    first, _ = store.versions()
    done = trainer("promote", first)
    assert done.exit_code == 0 and "serves default already (epoch 1): nothing to change" in done.output
    assert len(store.history()) == 1


def test_promote_an_unknown_version_lists_those_there_are(store: Store) -> None:
    said = error(trainer("promote", "recaption-none"))
    assert "no version 'recaption-none'" in said and all(version in said for version in store.versions())


def test_prune_removes_what_serves_nowhere_unless_it_is_a_dry_run(store: Store) -> None:
    first, second = store.versions()
    done = trainer("prune")
    assert done.exit_code == 0 and "removed: versions: 0" in done.output  # both are of today
    os.utime(store.folder(second), (1e9, 1e9))
    done = trainer("prune", "--older-than", "7", "--dry-run")
    assert done.exit_code == 0 and second in done.output and "would be removed: versions: 1" in done.output
    assert set(store.versions()) == {first, second}
    done = trainer("prune", "--older-than", "7")
    assert done.exit_code == 0 and "removed: versions: 1, converted models: 0" in done.output
    assert store.versions() == [first]


def test_prune_removes_the_challengers_of_ended_runs_but_the_latest(store: Store) -> None:
    runs = store.root / "runs" / "7"
    for name in ("one", "two"):
        (runs / name / "challenger").mkdir(parents=True)
        (runs / name / "report.json").write_text("{}")
        (runs / name / "challenger" / "decoder.safetensors").write_bytes(bytes(2_000_000))
        os.utime(runs / name / "challenger", (1e9, 1e9))
    done = trainer("prune", "--dry-run")
    assert "runs/7/one\n" in done.output and "challengers: 1, 2 MB" in done.output
    assert (runs / "one" / "challenger").is_dir()
    assert trainer("prune").exit_code == 0
    assert not (runs / "one" / "challenger").exists() and (runs / "one" / "report.json").exists()
    assert (runs / "two" / "challenger").is_dir()


def test_rollback_goes_back_and_forth(store: Store) -> None:
    first, second = store.versions()
    store.promote(second, "7", expect_epoch=None, by="run one", reason="better")
    done = trainer("rollback", "--project", "7")
    assert done.exit_code == 0 and f"{second} -> {first} (epoch 2) serves project 7." in done.output
    assert trainer("rollback", "--project", "7").exit_code == 0
    own = store.own_champion("7")
    assert own is not None and own.version == second
    assert [line["event"] for line in store.history("7")] == ["promotion", "rollback", "rollback"]


def test_rollback_without_a_before_says_what_there_is(store: Store) -> None:
    assert "'7' has no champion of its own" in error(trainer("rollback", "--project", "7"))
    said = error(trainer("rollback"))
    assert "'default' before" in said and all(version in said for version in store.versions())


@pytest.mark.parametrize("command", [("promote", "recaption-x"), ("rollback",), ("history",)])
@pytest.mark.parametrize("project", ["0", "seven", "../x"])
def test_a_project_is_a_number_or_default(store: Store, command: tuple[str, ...], project: str) -> None:
    assert f"{project!r} is neither a project's number nor 'default'" in error(trainer(*command, "--project", project))


@pytest.mark.parametrize("command", [("promote", "recaption-x"), ("rollback",), ("history",)])
def test_without_a_store_it_is_said_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "nothing"))
    assert "there is no store in MODEL_DIR=" in error(trainer(*command))
    assert not (tmp_path / "nothing").exists()


def decided(store: Store) -> None:
    comparison = {"champion": 20.0, "challenger": 21.5}
    gate = {"decides": "benchmark", "benchmark": {"comparison": comparison}}
    figures = {"run": "one", "challenger": "recaption-loser", "gate": gate}
    store.record("rejection", "7", by="run one", reason="Not better [at all].", figures=figures)
    store.record("nothing-to-learn", "8", by="run two", reason="Nothing to learn.")


def test_history_shows_what_happened_and_what_serves(store: Store) -> None:
    decided(store)
    done = trainer("history")
    assert done.exit_code == 0
    for part in ("promotion", "rejection", "recaption-loser", "20.00 -> 21.50", "Not better [at all].", "nothing-to"):
        assert part in done.output
    assert f"default: {store.versions()[0]} (epoch 1" in done.output and store.versions()[1] in done.output


def test_history_of_one_project(store: Store) -> None:
    decided(store)
    done = trainer("history", "--project", "8")
    assert "nothing-to-learn" in done.output and "rejection" not in done.output
    assert "Nothing happened yet in project 9." in trainer("history", "--project", "9").output


def test_history_as_json_has_every_figure(store: Store) -> None:
    decided(store)
    lines = [json.loads(line) for line in trainer("history", "--json").stdout.splitlines()]
    assert lines == store.history()


@pytest.fixture
def studio(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that name a Label Studio, which nothing here asks."""
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "secret-token")


def test_train_says_which_setting_is_missing(store: Store) -> None:
    assert "LABEL_STUDIO_URL" in error(trainer("train", "--project", "7"))


def test_train_says_that_label_studio_cannot_be_reached(store: Store, studio: None) -> None:
    said = error(trainer("train", "--project", "7"))
    assert "Label Studio at http://127.0.0.1:9 cannot be reached" in said and "secret-token" not in said
    assert store.history("7")[-1]["event"] == "failure"


def test_train_says_that_another_is_at_work(store: Store, studio: None) -> None:
    folder = store.root / "runs" / "7"
    folder.mkdir(parents=True)
    with (folder / "lock").open("w") as lock:
        lock.write("4711\n")
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = trainer("train", "--project", "7")
    assert done.exit_code == os.EX_TEMPFAIL and "project 7 is at work already (process 4711)" in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "says"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), 71, "smaller batch"),
        (MemoryError(), 71, "out of memory"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), 71, "memory"),
        (DeviceError("device 'cuda' cannot be used here"), 2, "device 'cuda'"),
        (GatherError("none of the 3 pictures can be read"), 2, "none of the 3 pictures"),
        (SettingsError("GATE is 'x'"), 2, "GATE is 'x'"),
    ],
)
def test_train_ends_with_the_code_that_its_supervisor_knows(
    store: Store, studio: None, monkeypatch: pytest.MonkeyPatch, raised: Exception, code: int, says: str
) -> None:
    def learn(*arguments: Any) -> dict[str, Any]:
        raise raised

    monkeypatch.setattr(run_module, "learn", learn)
    done = trainer("train", "--project", "7")
    assert done.exit_code == code and says in done.stderr and "Traceback" not in done.stderr


def test_a_fault_of_ours_keeps_its_traceback(store: Store, studio: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def learn(*arguments: Any) -> dict[str, Any]:
        raise ZeroDivisionError

    monkeypatch.setattr(run_module, "learn", learn)
    done = trainer("train", "--project", "7")
    assert done.exit_code == 1 and isinstance(done.exception, ZeroDivisionError)


def test_help_names_the_commands(store: Store) -> None:
    done = trainer("--help")
    assert done.exit_code == 0 and all(command in done.output for command in COMMANDS)


def test_only_training_imports_torch(tmp_path: Path) -> None:
    """A worker forks, which torch does not survive; and nobody waits seconds for a list or a line of help."""
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom trainer.__main__ import app\n"
        "for line in (['--help'], ['work', '--help'], ['train', '--help'], ['history'], ['rollback']):\n"
        "    CliRunner().invoke(app, line)\n"
        "print('torch' in sys.modules)"
    )
    environment = {"PATH": os.environ["PATH"], "MODEL_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
