"""What the doctor finds on this machine, with a real store, a real Valkey, and no Label Studio.

What it finds in a real Label Studio is in tests/e2e.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.__main__ import app
from backend.checks.check import Check
from backend.checks.machine import check_backend, check_checkpoint, check_queue, check_store
from backend.checks.studio import check_token, check_version
from backend.doctor import examine
from labeling.session import LabelStudio
from model.store import Store
from settings import Settings, load
from tests.checkpoints import tiny_checkpoint
from trainer.valkey import EmbeddedValkey


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(data_dir=tmp_path, model_dir=tmp_path / "models", port=closed_port())


@pytest.fixture
def champion(settings: Settings, tmp_path: Path) -> str:
    """A store with one version that serves."""
    store = Store(settings.model_dir)
    version = store.publish(tiny_checkpoint(tmp_path / "tiny"))
    store.promote(version, expect_epoch=None, by="test", reason="first")
    return version


@pytest.fixture
def valkey(settings: Settings) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(settings.data_dir / "valkey")
    server.start()
    yield server
    server.stop()


def test_the_store_and_its_checkpoint_are_whole(settings: Settings, champion: str) -> None:
    assert check_store(settings).status == "ok"
    assert champion in check_store(settings).detail
    assert check_checkpoint(settings).status == "ok"


def test_an_empty_store_needs_the_starter(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backend.checks.machine.STARTER", tmp_path / "none")
    assert check_store(settings).status == "failed"
    monkeypatch.setattr("backend.checks.machine.STARTER", tiny_checkpoint(tmp_path / "starter"))
    assert "starter" in check_store(settings).detail
    assert check_store(settings).status == check_checkpoint(settings).status == "ok"


def test_a_pointer_to_a_version_that_is_gone_is_found(settings: Settings, champion: str) -> None:
    (settings.model_dir / "versions" / champion).rename(settings.model_dir / "versions" / "away")
    found = check_checkpoint(settings)
    assert found.status == "failed" and champion in found.detail


def test_a_changed_byte_in_a_checkpoint_is_found(settings: Settings, champion: str) -> None:
    file = settings.model_dir / "versions" / champion / "vocabulary.json"
    file.write_bytes(file.read_bytes().replace(b"dog", b"cat"))
    found = check_checkpoint(settings)
    assert found.status == "failed" and "vocabulary.json" in found.detail


def test_an_unreadable_pointer_is_found(settings: Settings, champion: str) -> None:
    (settings.model_dir / "refs" / "default.json").write_text("{}")
    assert check_store(settings).status == "failed"


def test_the_embedded_queue_server_is_pinged(settings: Settings, valkey: EmbeddedValkey) -> None:
    assert check_queue(settings).status == "ok"
    valkey.stop()
    assert check_queue(settings).status == "warning"


def test_a_queue_server_of_ones_own_is_pinged_and_its_password_not_shown(
    settings: Settings, valkey: EmbeddedValkey
) -> None:
    own = load(redis_url=valkey.url)
    assert check_queue(own).status == "ok"
    gone = check_queue(load(redis_url=f"redis://:hush@127.0.0.1:{closed_port()}/0"))
    assert gone.status == "failed" and "REDIS_URL" in gone.remedy
    assert "hush" not in repr(gone)


def test_a_silent_backend_is_a_failure_with_its_remedy(settings: Settings) -> None:
    verdict, running = check_backend(settings)
    assert running is None
    assert verdict.status == "failed" and "python -m backend serve" in verdict.remedy


def test_a_silent_label_studio_ends_the_examination(settings: Settings, champion: str) -> None:
    studio = LabelStudio(f"http://127.0.0.1:{closed_port()}", "0" * 40)
    assert check_version(studio).status == "failed"
    assert check_token(studio).status == "failed"
    silent = load(
        data_dir=settings.data_dir,
        model_dir=settings.model_dir,
        port=settings.port,
        label_studio_url=studio.url,
        label_studio_api_key="0" * 40,
    )
    assert list(examine(silent, 1))[-1].name == "Label Studio"


def test_without_label_studio_the_missing_setting_is_named(settings: Settings, champion: str) -> None:
    found = list(examine(settings))
    assert [check.name for check in found] == ["store", "checkpoint", "queue server", "backend", "Label Studio"]
    assert "LABEL_STUDIO_URL" in found[-1].remedy


@pytest.mark.usefixtures("champion")
def test_every_failure_and_warning_says_what_to_do(settings: Settings) -> None:
    def incomplete(check: Check) -> bool:
        return (check.status == "ok") == bool(check.remedy)

    assert [check for check in examine(settings) if incomplete(check)] == []


def test_the_command_exits_with_1_and_prints_remedies(
    settings: Settings, champion: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATA_DIR", str(settings.data_dir))
    monkeypatch.setenv("MODEL_DIR", str(settings.model_dir))
    monkeypatch.setenv("PORT", str(settings.port))
    done = CliRunner().invoke(app, ["doctor"])
    assert done.exit_code == 1
    assert "failed   backend: nothing answers" in done.output
    assert "-> Start the backend: python -m backend serve" in done.output
    assert "2 failed, 1 to look at, 3 ok" in done.output


def test_a_wrong_setting_is_the_first_thing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "ninety")
    for command in (["doctor"], ["connect", "--project", "1"]):
        done = CliRunner().invoke(app, command)
        assert done.exit_code == 1
        assert "PORT is 'ninety'" in done.output


def test_connect_without_label_studio_names_the_missing_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["connect", "--project", "1"])
    assert done.exit_code == 1 and "LABEL_STUDIO_URL is not set" in done.output
    monkeypatch.setenv("LABEL_STUDIO_URL", "http://127.0.0.1:1")
    done = CliRunner().invoke(app, ["connect", "--project", "1"])
    assert done.exit_code == 1 and "LABEL_STUDIO_API_KEY is not set" in done.output
