"""What an annotator sees and what Label Studio keeps of it, in a real browser."""

import time
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect
from pydantic import SecretStr

from backend.local.ports import free_port
from backend.local.processes import Processes
from backend.local.serve import start_backend, wait_for_backend
from backend.running import NotRunning, RunningBackend, find_backend
from settings import Settings
from tests.e2e.annotator import Annotator, origins, texts
from tests.e2e.conftest import Backend, Studio, connected_project
from trainer.marks import Mark, Marks

pytestmark = pytest.mark.browser

OFFICIAL_TEMPLATE = """
<View>
  <Image name="image" value="$captioning"/>
  <Header value="Describe the image:"/>
  <TextArea name="caption" toName="image" placeholder="Enter description here..." rows="5" maxSubmissions="1"/>
</View>
"""
MARK_WAIT_S = 5.0


def drafted(studio: Studio, backend: Backend, project: int, task: int) -> str:
    """The caption that the backend gives for a task when it is asked itself."""
    label_config = studio.session.get(f"/api/projects/{project}/")["label_config"]
    body = {
        "tasks": [studio.session.get(f"/api/tasks/{task}/")],
        "project": f"{project}.0",
        "label_config": label_config,
    }
    (prediction,) = backend.running.ask("POST", "/predict", json={**body, "params": {}})["results"]
    (caption,) = prediction["result"][0]["value"]["text"]
    return str(caption)


def annotations(studio: Studio, task: int) -> list[dict[str, Any]]:
    """The task's annotations as Label Studio's API gives them."""
    found: list[dict[str, Any]] = studio.session.get(f"/api/tasks/{task}/annotations/")
    return found


def wait_for_mark(settings: Settings, project: int, captions: int, spool: Path) -> Mark:
    """The queue server's mark of the project, once it counts this many captions; the test fails if it never does."""
    assert settings.redis_url is not None
    marks = Marks(settings.redis_url.get_secret_value(), spool)
    deadline = time.monotonic() + MARK_WAIT_S
    try:
        while True:
            found = [mark for mark in marks.pending() if mark.project == project]
            if found and found[0].pending >= captions:
                return found[0]
            assert time.monotonic() < deadline, f"no mark of {captions} captions: {found}"
            time.sleep(0.05)
    finally:
        marks.close()


def test_a_caption_waits_in_the_open_field_of_a_clicked_row(
    annotator: Annotator, studio: Studio, backend: Backend, photos: dict[str, Path], pytestconfig: pytest.Config
) -> None:
    project = connected_project(studio, backend, "Our photos", list(photos.values()))
    annotator.open_project(project.number)
    annotator.open_row("camera.png")

    task = project.tasks["camera.png"]
    assert annotator.caption() == drafted(studio, backend, project.number, task) != ""
    assert annotator.field.is_editable()
    (stored,) = studio.session.get(f"/api/tasks/{task}/")["predictions"]
    assert texts(stored) == [annotator.caption()]
    assert stored["model_version"] == backend.running.version(project.number, "")

    picture = pytestconfig.getoption("--screenshot", None)
    if picture is not None:
        annotator.photograph(picture)


def test_label_all_tasks_accept_one_and_edit_one(
    annotator: Annotator, studio: Studio, backend: Backend, photos: dict[str, Path], tmp_path: Path
) -> None:
    names = ["chelsea.png", "coffee.png", "rocket.jpg"]
    project = connected_project(studio, backend, "In a row", [photos[name] for name in names])
    annotator.open_project(project.number)

    first = annotator.label_all()
    draft = drafted(studio, backend, project.number, first)
    assert annotator.caption() == draft
    _, second = annotator.accept_and_go_on()
    (accepted,) = annotations(studio, first)
    assert (texts(accepted), origins(accepted)) == ([draft], ["prediction"])
    assert accepted["parent_prediction"] is not None

    other = drafted(studio, backend, project.number, second)
    assert annotator.caption() == other
    annotator.page.keyboard.press("End")
    annotator.page.keyboard.type(" near a window")
    _, third = annotator.accept_and_go_on()
    (edited,) = annotations(studio, second)
    assert (texts(edited), origins(edited)) == ([f"{other} near a window"], ["prediction-changed"])

    assert {first, second, third} == set(project.tasks.values())
    mark = wait_for_mark(backend.settings, project.number, 2, tmp_path)
    assert (mark.pending, mark.action) == (2, "ANNOTATION_CREATED")


def test_with_the_official_template_the_caption_is_there_to_read(
    annotator: Annotator, studio: Studio, backend: Backend, photos: dict[str, Path]
) -> None:
    chosen = [photos["chelsea.png"]]
    project = connected_project(studio, backend, "Official template", chosen, OFFICIAL_TEMPLATE)
    (task,) = project.tasks.values()
    annotator.open_project(project.number)
    annotator.open_row("chelsea.png")

    draft = drafted(studio, backend, project.number, task)
    expect(annotator.page.get_by_text(draft, exact=True).first).to_be_visible()
    annotator.submit()
    (accepted,) = annotations(studio, task)
    assert (texts(accepted), origins(accepted)) == ([draft], ["prediction"])


def test_with_a_login_captions_and_webhooks_still_arrive(
    annotator: Annotator, studio: Studio, settings: Settings, photos: dict[str, Path], tmp_path: Path
) -> None:
    port = free_port()
    login = {"basic_auth_user": "studio", "basic_auth_pass": SecretStr("open sesame")}
    address = {"port": port, "backend_url": f"http://localhost:{port}", "data_dir": tmp_path / "data"}
    guarded = settings.model_copy(update={**login, **address})
    with Processes(tmp_path / "logs") as processes:
        start_backend(processes, guarded)
        wait_for_backend(processes, guarded)
        backend = Backend(guarded, find_backend(guarded))
        with pytest.raises(NotRunning, match="401"):
            RunningBackend(backend.running.url).ask("POST", "/webhook", json={"action": "START_TRAINING"})

        project = connected_project(studio, backend, "With a login", [photos["rocket.jpg"]])
        (task,) = project.tasks.values()
        annotator.open_project(project.number)
        annotator.open_row("rocket.jpg")
        assert annotator.caption() == drafted(studio, backend, project.number, task)
        annotator.accept()
        assert wait_for_mark(guarded, project.number, 1, tmp_path / "spool").action == "ANNOTATION_CREATED"
