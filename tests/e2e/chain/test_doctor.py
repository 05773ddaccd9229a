"""`doctor` against the real Label Studio: whole chains, broken links, and its word on the label stream compared with
what the stream really opens with."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.__main__ import app
from backend.checks.check import Check
from backend.checks.studio import check_token, check_version
from backend.doctor import connected_projects, examine
from backend.local.ports import free_port
from backend.local.processes import Processes
from backend.local.serve import start_backend, wait_for_backend
from backend.running import find_backend
from labeling.session import LabelStudio
from settings import Settings
from tests.e2e.chain.conftest import NewProject, make_project
from tests.e2e.chain.holdings import (
    Break,
    as_environment,
    connected,
    held,
    ml_change,
    ml_gone,
    ml_twice,
    project_change,
    streamed,
    webhook_change,
    webhook_gone,
    webhook_twice,
)
from tests.e2e.conftest import Backend, Studio
from tests.labeling.configs import OFFICIAL


def examined(settings: Settings, project: int) -> dict[str, Check]:
    """The checks of one project by name."""
    found = (check for check in examine(settings, project) if check.name.startswith(f"project {project}: "))
    return {check.name.partition(": ")[2]: check for check in found}


def unwell(checks: dict[str, Check]) -> dict[str, str]:
    return {name: check.status for name, check in checks.items() if check.status != "ok"}


def test_a_whole_chain_is_well_and_is_left_as_it_is(
    api: LabelStudio, guarded: Backend, new_project: NewProject
) -> None:
    project = new_project()
    connected(api, project, guarded)
    before = held(api, project), guarded.running.ask("GET", "/status")["marks"]
    found = list(examine(guarded.settings, project))
    assert [check for check in found if check.status != "ok"] == []
    assert len(found) == 15
    assert (held(api, project), guarded.running.ask("GET", "/status")["marks"]) == before
    # Neither a stored caption nor a task locked for a day: the stream was judged without opening it.
    task = api.get("/api/tasks", {"project": project, "fields": "all"})["tasks"][0]
    assert task["predictions"] == []
    assert api.get(f"/api/projects/{project}/label-stream-history") == []


@pytest.fixture(scope="module")
def patient(api: LabelStudio, backend: Backend, photos: dict[str, Path]) -> int:
    """One project to break and examine again and again."""
    return make_project(api, photos)


BROKEN: dict[str, tuple[Break, dict[str, str]]] = {
    "ML backend gone": (
        ml_gone,
        {"ML backend": "failed", "caption through Label Studio": "failed", "label stream": "failed"},
    ),
    "ML backend twice": (ml_twice, {"ML backend": "failed"}),
    "interactive": (ml_change(is_interactive=True), {"ML backend": "failed"}),
    "old title": (ml_change(title="V0"), {"ML backend": "warning"}),
    "prelabelling off": (project_change(show_collab_predictions=False), {"label stream": "failed"}),
    "no model version": (project_change(model_version=""), {"label stream": "failed"}),
    "webhook gone": (webhook_gone, {"webhook": "failed"}),
    "webhook twice": (webhook_twice, {"webhook": "failed"}),
    "webhook off": (webhook_change(is_active=False), {"webhook": "failed"}),
    "tasks by number": (project_change(sampling="Sequential sampling"), {"task order": "warning"}),
    "training toggle": (project_change(min_annotations_to_start_training=1), {"training toggle": "warning"}),
    "official template": (project_change(label_config=OFFICIAL), {"label config": "warning"}),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_link_is_named_and_no_other(api: LabelStudio, backend: Backend, patient: int, name: str) -> None:
    connected(api, patient, backend, improve_config=True)
    project_change(min_annotations_to_start_training=0)(api, patient, "")
    spoil, expected = BROKEN[name]
    spoil(api, patient, backend.settings.backend_url)
    found = examined(backend.settings, patient)
    assert unwell(found) == expected
    assert all(found[link].remedy for link in expected)


STREAMS: dict[str, Break] = {
    "whole": lambda api, project, url: None,
    "prelabelling off": project_change(show_collab_predictions=False),
    "no model version": project_change(model_version=""),
    "old title": ml_change(title="V0"),
    "ML backend gone": ml_gone,
}


@pytest.mark.parametrize("name", STREAMS)
def test_the_word_on_the_stream_is_what_the_stream_does(
    api: LabelStudio, backend: Backend, new_project: NewProject, name: str
) -> None:
    project = new_project()
    connected(api, project, backend)
    STREAMS[name](api, project, backend.settings.backend_url)
    said = examined(backend.settings, project)["label stream"]
    assert (said.status == "ok") == (streamed(api, project) == [backend.running.served()])


def test_stored_captions_alone_do_not_count_as_a_live_stream(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    project = new_project()
    connected(api, project, backend)
    task = api.get("/api/tasks", {"project": project})["tasks"][0]["id"]
    old = {"task": task, "model_version": "V0", "score": 0.5, "result": []}
    api.post(f"/api/projects/{project}/import/predictions", [old])
    project_change(model_version="V0")(api, project, "")
    assert "only stored predictions" in examined(backend.settings, project)["label stream"].detail
    assert streamed(api, project) == ["V0"]


def test_a_backend_that_has_stopped_is_found_from_here_and_from_label_studio(
    api: LabelStudio, settings: Settings, new_project: NewProject, tmp_path: Path
) -> None:
    project, port = new_project(), free_port()
    own = settings.model_copy(update={"port": port, "backend_url": f"http://localhost:{port}", "data_dir": tmp_path})
    with Processes(tmp_path / "logs") as processes:
        start_backend(processes, own)
        wait_for_backend(processes, own)
        connected(api, project, Backend(own, find_backend(own)))
    found = {check.name: check for check in examine(own, project)}
    assert found["backend"].status == "failed"
    assert "nothing answers Label Studio" in found[f"project {project}: ML backend"].detail
    assert unwell(examined(own, project)) == {
        "ML backend": "failed",
        "caption through Label Studio": "failed",
        "label stream": "failed",
        "webhook": "warning",
    }


def test_a_webhook_with_another_login_is_found(api: LabelStudio, guarded: Backend, new_project: NewProject) -> None:
    project = new_project()
    connected(api, project, guarded)
    webhook_change(headers={"Authorization": "Basic b2xkOm9sZA=="})(api, project, "")
    found = examined(guarded.settings, project)
    assert unwell(found) == {"webhook": "failed"}
    assert "another login" in found["webhook"].detail and "b2xk" not in repr(found)


def test_a_banned_address_is_found_before_anything_is_connected(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    project = new_project(photo=False)
    elsewhere = backend.settings.model_copy(update={"backend_url": "http://169.254.169.254:9090"})
    found = examined(elsewhere, project)["address bans"]
    assert found.status == "failed" and "the ML backend" in found.detail and "the webhook" in found.detail
    assert "USE_DEFAULT_BANNED_SUBNETS=false" in found.remedy
    nowhere = backend.settings.model_copy(update={"backend_url": "http://nowhere.invalid:9090"})
    assert "does not know the host" in examined(nowhere, project)["address bans"].detail
    assert api.get("/api/ml/", {"project": project}) == api.get("/api/webhooks/", {"project": project}) == []


def test_an_image_that_cannot_be_fetched_is_found(api: LabelStudio, backend: Backend, new_project: NewProject) -> None:
    project = new_project(photo=False)
    api.post(f"/api/projects/{project}/import", [{"captioning": "http://10.1.2.3/a.jpg"}])
    connected(api, project, backend)
    found = examined(backend.settings, project)
    assert unwell(found) == {"images": "failed", "caption through Label Studio": "failed"}
    assert "IMAGE_ALLOWED_HOSTS" in found["images"].remedy


def test_a_project_without_tasks_or_without_a_caption_is_said_to_be_so(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    choices = '<View><Image name="i" value="$i"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    project = new_project(photo=False, label_config=choices)
    connected(api, project, backend)
    assert unwell(examined(backend.settings, project)) == {
        "label config": "failed",
        "images": "warning",
        "caption through Label Studio": "warning",
    }


def test_connected_projects_are_found_by_themselves(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    with_ours, without = new_project(photo=False), new_project(photo=False)
    connected(api, with_ours, backend)
    found = connected_projects(api, backend.settings.backend_url)
    assert with_ours in found and without not in found
    nowhere = backend.settings.model_copy(update={"backend_url": "http://127.0.0.9:1"})
    (none,) = [check for check in examine(nowhere) if check.name == "projects"]
    assert none.status == "warning" and "python -m backend connect" in none.remedy


def test_each_kind_of_token_is_named(studio: Studio) -> None:
    assert "1.23" in check_version(studio.session).detail
    personal = check_token(studio.session)
    assert personal.status == "ok" and "personal" in personal.detail
    access = studio.session.post("/api/token/refresh", {"refresh": studio.token})["access"]
    assert check_token(LabelStudio(studio.session.url, access)).status == "warning"
    legacy = check_token(LabelStudio(studio.session.url, "0" * 40))
    assert legacy.status == "failed" and "legacy" in legacy.detail and "personal" in legacy.remedy


def test_the_command_prints_verdicts_and_exits_with_1_only_if_one_failed(
    api: LabelStudio, guarded: Backend, new_project: NewProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = as_environment(guarded, monkeypatch)
    project = new_project()
    connected(api, project, guarded)
    well = CliRunner().invoke(app, ["doctor", "--project", str(project)])
    assert well.exit_code == 0, well.output
    assert "0 failed, 0 to look at, 16 ok" in well.output
    webhook_gone(api, project, "")
    ill = CliRunner().invoke(app, ["doctor", "--project", str(project)])
    assert ill.exit_code == 1
    assert f"failed   project {project}: webhook: none" in ill.output
    assert f"-> python -m backend connect --project {project}" in ill.output
    assert [secret for secret in secrets if secret in well.output + ill.output] == []
    unknown = CliRunner().invoke(app, ["doctor", "--project", "999999"])
    assert unknown.exit_code == 1 and "project 999999" in unknown.output
