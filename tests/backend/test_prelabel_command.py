"""`python -m backend prelabel` as a person types it: what it prints, and how it says what is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from backend import bookmark
from backend.__main__ import app
from backend.bookmark import Bookmark
from backend.onlyone import turn
from model.store import Store
from tests.backend.desk import PROJECT, TOKEN, Desk, opened
from tests.backend.versions import promote, retrained, torn
from tests.labeling.annotated import task

COUNT = 5


@pytest.fixture
def desk(tmp_path: Path, model_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    """A desk at the address that the settings name."""
    desk = Desk(COUNT)
    with opened(desk):
        for name, value in {
            "LABEL_STUDIO_URL": desk.url,
            "LABEL_STUDIO_API_KEY": TOKEN,
            "BACKEND_URL": "http://backend:9090",
            "MODEL_DIR": str(model_dir),
            "DATA_DIR": str(tmp_path / "data"),
            "THREADS": "1",
        }.items():
            monkeypatch.setenv(name, value)
        yield desk


@pytest.fixture
def version(model_dir: Path) -> str:
    champion = Store(model_dir).champion()
    assert champion is not None
    return champion.version


def run(project: int = PROJECT) -> Result:
    return CliRunner().invoke(app, ["prelabel", "--project", str(project)])


def test_it_captions_what_lacks_a_caption_and_says_how_much(desk: Desk, version: str, tmp_path: Path) -> None:
    desk.connect("http://backend:9090", version)
    desk.annotate(1)
    desk.predict(2, "recaption-0")
    done = run()
    assert done.exit_code == 0, done.output
    assert (
        "4 captioned, 1 of them in place of an older caption; 0 skipped, 0 failed; 0 older ones deleted" in done.output
    )
    assert f"project {PROJECT}, {version}: 4/4" in done.stderr and "Note:" not in done.output
    assert desk.versions() == [[], *([[version]] * (COUNT - 1))]
    assert bookmark.read(tmp_path / "data", PROJECT) == Bookmark(version, COUNT, done=True)
    assert TOKEN not in done.output
    assert "0 captioned" in run().output


def test_tasks_that_failed_are_counted_and_the_way_on_is_named(desk: Desk, version: str) -> None:
    desk.connect("http://backend:9090", version)
    desk.tasks[0] = task(1, data={"captioning": "ftp://nowhere"}) | {"draft_exists": False}
    done = run()
    assert done.exit_code == 1
    assert "4 captioned" in done.output and "1 failed" in done.output
    assert f"python -m backend doctor --project {PROJECT}" in done.stderr


def test_a_project_of_another_version_is_warned_about(desk: Desk, version: str) -> None:
    desk.connect("http://backend:9090", "recaption-0")
    done = run()
    assert done.exit_code == 0
    assert f"is not connected with {version}" in done.stderr and "backend connect --project 7" in done.stderr


def test_a_projects_own_version_is_used(
    desk: Desk, version: str, model_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "models")
    first = store.publish(Store(model_dir).folder(version))
    promote(store, first)
    own = retrained(store, first, tmp_path / "own", seed=1)
    promote(store, own, str(PROJECT))
    monkeypatch.setenv("MODEL_DIR", str(store.root))
    assert run().exit_code == 0
    assert desk.versions() == [[own]] * COUNT
    torn(store, own)
    done = run()
    assert done.exit_code == 2
    assert "decoder.safetensors is not the file" in done.stderr and "Traceback" not in done.output


def test_it_waits_for_no_other_process_and_says_where_to_look(desk: Desk, tmp_path: Path) -> None:
    with turn(tmp_path / "data", PROJECT):
        done = run()
    assert done.exit_code == 2
    assert "another process is captioning project 7" in done.stderr and "http://backend:9090/status" in done.stderr


def test_a_label_config_without_a_caption_is_named(desk: Desk) -> None:
    desk.label_config = "<View/>"
    done = run()
    assert done.exit_code == 2 and "the tasks of project 7 cannot be captioned" in done.stderr


def test_what_is_missing_or_wrong_is_named_before_the_model_is_loaded(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    unknown = run(999999)
    assert unknown.exit_code == 2 and "HTTP 404" in unknown.stderr
    monkeypatch.delenv("LABEL_STUDIO_API_KEY")
    assert "LABEL_STUDIO_API_KEY is not set" in run().stderr
    monkeypatch.setenv("THREADS", "many")
    assert "THREADS is 'many'" in run().stderr
