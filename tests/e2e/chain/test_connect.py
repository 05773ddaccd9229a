"""`connect` against the real Label Studio and real backends, each a process of its own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner

from backend.__main__ import app
from backend.checks.chain import Chain
from backend.checks.reach import check_bans
from backend.connect import ConnectError, connect
from backend.local.account import DEMO, access_token
from backend.local.label_studio import LocalLabelStudio
from backend.local.ports import free_port
from backend.local.processes import Processes
from labeling.session import LabelStudio
from tests.e2e.chain.conftest import NewProject, StartBackend, make_project
from tests.e2e.chain.holdings import (
    Break,
    annotate,
    as_environment,
    connected,
    held,
    ml_backend,
    ml_change,
    ml_gone,
    ml_twice,
    project_change,
    streamed,
    webhook_change,
    webhook_gone,
    webhook_twice,
)
from tests.e2e.conftest import Backend
from tests.labeling.configs import OFFICIAL


def test_a_new_project_is_connected_and_its_stream_is_pre_filled(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    project = new_project()
    report = connected(api, project, backend)
    assert report.changed
    assert report.lines[0].startswith("created  ML backend")
    assert streamed(api, project) == [backend.running.served()]


def test_a_second_run_changes_nothing_and_says_so(api: LabelStudio, backend: Backend, new_project: NewProject) -> None:
    project = new_project()
    connected(api, project, backend)
    before = held(api, project)
    report = connected(api, project, backend)
    assert not report.changed
    assert [line.split()[0] for line in report.lines] == ["ok"] * 4
    assert held(api, project) == before


BREAKS: dict[str, Break] = {
    "prelabelling off": project_change(show_collab_predictions=False),
    "no model version": project_change(model_version=""),
    "tasks by number": project_change(sampling="Sequential sampling"),
    "old title": ml_change(title="V0"),
    "interactive": ml_change(is_interactive=True),
    "version frozen": ml_change(auto_update=False),
    "ML backend gone": ml_gone,
    "ML backend twice": ml_twice,
    "webhook gone": webhook_gone,
    "webhook twice": webhook_twice,
    "webhook off": webhook_change(is_active=False),
    "webhook without payload": webhook_change(send_payload=False),
    "webhook for imports only": webhook_change(send_for_all_actions=False, actions=["TASKS_CREATED"]),
}


@pytest.fixture(scope="module")
def patient(api: LabelStudio, backend: Backend, photos: dict[str, Path]) -> int:
    """One project to break and repair again and again."""
    project = make_project(api, photos)
    connected(api, project, backend)
    return project


@pytest.mark.parametrize("name", BREAKS)
def test_what_is_broken_is_repaired(api: LabelStudio, backend: Backend, patient: int, name: str) -> None:
    whole = held(api, patient)
    BREAKS[name](api, patient, backend.settings.backend_url)
    assert held(api, patient) != whole
    report = connected(api, patient, backend)
    assert report.changed
    assert any(line.startswith(("repaired", "created")) for line in report.lines)
    assert not connected(api, patient, backend).changed
    assert len(api.get("/api/ml/", {"project": patient})) == 1
    assert len(api.get("/api/webhooks/", {"project": patient})) == 1
    assert streamed(api, patient) == [backend.running.served()]


def test_a_login_is_set_for_calls_and_for_the_webhook(
    api: LabelStudio, guarded: Backend, new_project: NewProject
) -> None:
    project = new_project()
    with pytest.raises(ConnectError, match="BASIC_AUTH_USER"):
        connect(api, project, backend_url=guarded.settings.backend_url, version=guarded.running.served())
    connected(api, project, guarded)
    assert not connected(api, project, guarded).changed
    assert streamed(api, project) == [guarded.running.served()]
    # The webhook that Label Studio makes by itself carries no login: every correction would be refused.
    annotate(api, project)
    marks = guarded.running.ask("GET", "/status")["marks"]
    assert (marks["waiting"], [mark["project"] for mark in marks["pending"]].count(project)) in ((0, 1), (1, 0))


def test_a_login_that_changed_is_repaired_in_the_webhook_and_other_headers_are_kept(
    api: LabelStudio, guarded: Backend, new_project: NewProject
) -> None:
    project = new_project()
    connected(api, project, guarded)
    stale = {"authorization": "Basic b2xkOm9sZA==", "X-Route": "labels"}
    webhook_change(headers=stale)(api, project, guarded.settings.backend_url)
    report = connected(api, project, guarded)
    assert "repaired webhook: carries another login than the backend's" in report.lines
    (hook,) = api.get("/api/webhooks/", {"project": project})
    assert hook["headers"]["X-Route"] == "labels" and "authorization" not in hook["headers"]


def test_a_backend_that_moved_keeps_its_row(
    api: LabelStudio, backend: Backend, started: StartBackend, new_project: NewProject
) -> None:
    project = new_project()
    connected(api, project, backend)
    row = ml_backend(api, project)
    moved = started()
    connected(api, project, moved)
    assert ml_backend(api, project)["id"] == row["id"]
    hooks = [hook["url"] for hook in api.get("/api/webhooks/", {"project": project})]
    assert hooks == [f"{moved.settings.backend_url}/webhook"]
    assert streamed(api, project) == [moved.running.served()]


def test_an_elder_backend_is_not_hidden_behind(
    api: LabelStudio, backend: Backend, guarded: Backend, new_project: NewProject
) -> None:
    """Label Studio asks only the oldest ML backend of a project, whatever model_version names: seen here, too."""
    project, ours = new_project(), backend.running.served()
    connected(api, project, guarded)
    with pytest.raises(ConnectError, match="oldest ML backend"):
        connected(api, project, backend)
    api.post("/api/ml/", {"project": project, "url": backend.settings.backend_url, "title": ours})
    api.patch(f"/api/projects/{project}/", {"model_version": ours})
    assert streamed(api, project) == [guarded.running.served()]


def test_a_banned_address_is_explained_and_nothing_is_saved(api: LabelStudio, new_project: NewProject) -> None:
    project = new_project(photo=False)
    with pytest.raises(ConnectError, match="USE_DEFAULT_BANNED_SUBNETS=false"):
        connect(api, project, backend_url="http://169.254.169.254:9090", version="V1")
    assert api.get("/api/ml/", {"project": project}) == []


def test_a_backend_that_cannot_be_reached_is_explained(api: LabelStudio, new_project: NewProject) -> None:
    project = new_project(photo=False)
    with pytest.raises(ConnectError, match="cannot reach the backend"):
        connect(api, project, backend_url=f"http://localhost:{free_port()}", version="V1")
    with pytest.raises(ConnectError, match="does not know the host"):
        connect(api, project, backend_url="http://nowhere.invalid:9090", version="V1")
    assert api.get("/api/ml/", {"project": project}) == []


def test_an_unknown_project_is_answered_with_those_there_are(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    project = new_project(photo=False)
    with pytest.raises(ConnectError, match=rf"No project 999999 .*{project} \(Photos\)"):
        connected(api, 999999, backend)


class OnlyMLAllowed(LocalLabelStudio):
    """A Label Studio as of 1.23.1, with only the ban of ML backends lifted: predictions come, corrections never do."""

    def _environment(self, files_root: Path | None) -> Mapping[str, str]:
        usual = super()._environment(files_root)
        return {name: usual[name] for name in usual if "BANNED" not in name} | {"ML_BLOCK_LOCAL_IP": "false"}


def test_a_half_lifted_ban_connects_what_it_can_and_fails(fresh: Path, backend: Backend, tmp_path: Path) -> None:
    folder = shutil.copytree(fresh, tmp_path / "label-studio")
    local = OnlyMLAllowed(folder, port=free_port(), account=DEMO)
    with Processes(tmp_path / "logs") as processes:
        local.start(processes)
        local.wait(processes)
        api = LabelStudio(local.url, access_token(local.url, DEMO, tmp_path / "token"))
        project = make_project(api, {}, photo=False)
        # The first time, Label Studio answers 403 and yet saves the ML backend; the second time it is there.
        for status in ("created", "ok"):
            with pytest.raises(ConnectError, match="SSRF_PROTECTION_ENABLED=false") as caught:
                connected(api, project, backend)
            assert caught.value.report.lines[0].startswith(status)
        assert api.get("/api/webhooks/", {"project": project}) == []
        assert api.get(f"/api/projects/{project}/")["model_version"] == backend.running.served()
        bans = check_bans(Chain.read(backend.settings, api, backend.running, project))
        assert bans.status == "failed" and "refuses the webhook" in bans.detail


def test_a_better_label_config_is_offered_and_put_in_place_only_when_asked(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    project = new_project(label_config=OFFICIAL)
    offer = connected(api, project, backend).lines[-1]
    assert "--improve-config" in offer and 'editable="true"' in offer
    assert api.get(f"/api/projects/{project}/")["label_config"].strip() == OFFICIAL.strip()

    task = annotate(api, project)
    assert connected(api, project, backend, improve_config=True).changed
    better = api.get(f"/api/projects/{project}/")["label_config"]
    assert 'editable="true"' in better and 'transcription="true"' in better
    assert api.get(f"/api/tasks/{task}/annotations/")[0]["result"][0]["from_name"] == "caption"
    assert not connected(api, project, backend, improve_config=True).changed


def test_a_label_config_without_a_caption_is_connected_with_a_word_about_it(
    api: LabelStudio, backend: Backend, new_project: NewProject
) -> None:
    choices = '<View><Image name="i" value="$i"/><Choices name="c" toName="i"><Choice value="a"/></Choices></View>'
    report = connected(api, new_project(label_config=choices, photo=False), backend)
    assert report.lines[-1].startswith("advice   label config: no captions")


def test_the_command_connects_and_says_what_comes_next(
    api: LabelStudio, guarded: Backend, new_project: NewProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = as_environment(guarded, monkeypatch)
    project = new_project()
    first = CliRunner().invoke(app, ["connect", "--project", str(project)])
    assert first.exit_code == 0, first.output
    assert f"{api.url}/projects/{project}/data" in first.output
    second = CliRunner().invoke(app, ["connect", "--project", str(project)])
    assert second.exit_code == 0 and "Nothing to change" in second.output
    assert [secret for secret in secrets if secret in first.output + second.output] == []
    assert streamed(api, project) == [guarded.running.served()]


def test_the_command_fails_with_what_to_do(
    backend: Backend, new_project: NewProject, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_environment(backend, monkeypatch)
    project = str(new_project(photo=False))
    unknown = CliRunner().invoke(app, ["connect", "--project", "999999"])
    assert unknown.exit_code == 1 and "No project 999999" in unknown.output
    monkeypatch.setenv("PORT", str(free_port()))
    silent = CliRunner().invoke(app, ["connect", "--project", project])
    assert silent.exit_code == 1 and "python -m backend serve" in silent.output
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
    refused = CliRunner().invoke(app, ["connect", "--project", project])
    assert refused.exit_code == 1 and "personal access token" in refused.output
