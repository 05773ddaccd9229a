"""After each promotion and each rollback, the real Label Studio calls the model by the version that serves."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.doctor import examine
from labeling.session import LabelStudio
from model.store import Store
from tests.backend.versions import promote, retrained
from tests.checkpoints import tiny_checkpoint
from tests.e2e.chain.conftest import NewProject, StartBackend
from tests.e2e.chain.holdings import connected, ml_backend, project_change, streamed, webhook
from tests.e2e.conftest import Backend
from tests.waiting import wait_until

patiently = partial(wait_until, every_s=1.0)  # each look is a request
LOGIN = {"basic_auth_user": "captioner", "basic_auth_pass": SecretStr("open sesame")}


def names(api: LabelStudio, project: int) -> tuple[str, str]:
    return ml_backend(api, project)["title"], api.get(f"/api/projects/{project}/")["model_version"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store of this module's own, with two versions, the first of which serves."""
    folder = tmp_path_factory.mktemp("relink")
    store = Store(folder / "models")
    first = store.publish(tiny_checkpoint(folder / "first"))
    promote(store, first)
    retrained(store, first, folder / "second", seed=1)
    return store


@pytest.fixture(scope="module", params=[{}, LOGIN], ids=["open", "with a login"])
def backend(request: pytest.FixtureRequest, started: StartBackend, store: Store) -> Backend:
    return started(model_dir=store.root, redis_url=None, **request.param)


def test_names_follow_a_promotion_and_a_rollback(
    api: LabelStudio, backend: Backend, store: Store, new_project: NewProject
) -> None:
    project = new_project()
    first = backend.running.version(project, "")
    second = next(version for version in store.versions() if version != first)
    connected(api, project, backend)
    hook = webhook(api, project)

    promote(store, second, str(project))
    patiently(lambda: backend.running.version(project, "") == second, "the new version serves", 20)
    assert backend.running.served() == first, "the others have the version that they had"
    patiently(lambda: names(api, project) == (second, second), "the names follow")
    assert streamed(api, project) == [second]
    assert [check for check in examine(backend.settings, project) if check.status != "ok"] == []

    store.rollback(str(project), by="tests", reason="worse in practice")
    patiently(lambda: names(api, project) == (first, first), "the names go back")
    assert [check for check in examine(backend.settings, project) if check.status != "ok"] == []
    settings = api.get(f"/api/projects/{project}/")
    assert (settings["sampling"], settings["show_collab_predictions"]) == ("Uncertainty sampling", True)
    assert len(api.get("/api/webhooks/", {"project": project})) == 1 and webhook(api, project) == hook


def test_a_sampling_that_somebody_chose_survives_connect_and_swap(
    api: LabelStudio, backend: Backend, store: Store, new_project: NewProject
) -> None:
    project = new_project(photo=False)
    project_change(sampling="Uniform sampling")(api, project, "")
    connected(api, project, backend)
    second = next(version for version in store.versions() if version != backend.running.served())
    promote(store, second, str(project))
    patiently(lambda: names(api, project) == (second, second), "the names follow")
    assert api.get(f"/api/projects/{project}/")["sampling"] == "Uniform sampling"
    said = {check.name: check.status for check in examine(backend.settings, project)}
    assert said[f"project {project}: task order"] == "warning"


def test_names_that_fell_behind_while_the_backend_was_away_are_put_right_at_its_start(
    api: LabelStudio, started: StartBackend, store: Store, new_project: NewProject, tmp_path: Path
) -> None:
    backend = started(model_dir=store.root, redis_url=None)
    project, served = new_project(photo=False), backend.running.served()
    connected(api, project, backend)
    row = ml_backend(api, project)
    body = {"title": "recaption-of-long-ago", "url": row["url"], "project": project}
    api.patch(f"/api/ml/{row['id']}", body)
    second = next(version for version in store.versions() if version != served)
    promote(store, second, str(project))
    patiently(lambda: names(api, project) == (second, second), "the names follow")
