"""The small parts of the local system that need no Label Studio: ports, the lock, photos, titles, settings."""

import shutil
import socket
from pathlib import Path

import pytest
from pydantic import SecretStr

from backend.local.account import DEMO, Account
from backend.local.errors import LocalError
from backend.local.label_studio import LocalLabelStudio
from backend.local.lock import only_one
from backend.local.photos import Photo, photos_in, sample_photos
from backend.local.ports import free_port, is_free, require_free
from backend.local.processes import Processes
from backend.local.project import title_for
from backend.local.serve import child_settings
from backend.local.system import Plan, with_ports
from backend.local.waiting import until_answers
from settings import load


def test_a_listening_port_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert not is_free("127.0.0.1", port)
        with pytest.raises(LocalError, match=f"Port {port}, which the backend needs.*make run PORT={port + 1}"):
            require_free("127.0.0.1", port, what="the backend", setting="PORT")
    assert is_free("127.0.0.1", port)


def test_port_0_becomes_a_free_port_and_the_address_follows() -> None:
    settings, plan = with_ports(load(port=0), Plan(label_studio_port=0))
    assert settings.port > 0 and plan.label_studio_port > 0
    assert settings.backend_url == f"http://localhost:{settings.port}"
    chosen, _ = with_ports(load(port=0, backend_url="http://10.0.0.5:9090"), Plan(label_studio_port=0))
    assert chosen.backend_url == "http://10.0.0.5:9090"


def test_a_label_studio_elsewhere_needs_no_local_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        plan = Plan(label_studio_port=server.getsockname()[1])
        settings, _ = with_ports(load(port=0, label_studio_url="http://studio.example"), plan)
    assert settings.label_studio_url == "http://studio.example"


def test_two_systems_cannot_share_a_data_folder(tmp_path: Path) -> None:
    with only_one(tmp_path / "data"):
        with pytest.raises(LocalError, match=r"already runs.*DATA_DIR="), only_one(tmp_path / "data"):
            pytest.fail("the second one started")
    with only_one(tmp_path / "data"):
        pass


def test_the_samples_are_pictures_that_are_here_already() -> None:
    photos = sample_photos()
    assert {photo.path.name for photo in photos} >= {"chelsea.png", "coffee.png", "astronaut.png"}
    assert len({photo.digest for photo in photos}) == len(photos) == 6


def test_photos_are_found_in_every_subfolder_and_known_by_content(tmp_path: Path) -> None:
    picture = sample_photos()[0].path
    (tmp_path / "a" / "b").mkdir(parents=True)
    for name in ("one.PNG", "a/two.jpeg", "a/b/three.webp", "a/.hidden.png", "a/notes.txt", "a/drawing.svg"):
        shutil.copy(picture, tmp_path / name)
    found = photos_in(tmp_path)
    assert [photo.path.relative_to(tmp_path).as_posix() for photo in found] == [
        "a/b/three.webp",
        "a/two.jpeg",
        "one.PNG",
    ]
    assert {photo.digest for photo in found} == {Photo(picture).digest}


def test_ones_own_photos_get_a_project_named_after_their_folder(tmp_path: Path) -> None:
    assert title_for(None) == "Recaption"
    assert title_for(tmp_path / "Holiday") == "Recaption: Holiday"
    assert len(title_for(tmp_path / ("long " * 30))) == 50  # the longest title that Label Studio takes


def test_a_missing_label_studio_is_said_with_the_way_out(tmp_path: Path) -> None:
    studio = LocalLabelStudio(tmp_path, port=free_port(), account=DEMO, environment=tmp_path / "none")
    with Processes(tmp_path) as processes, pytest.raises(LocalError, match="make label-studio"):
        studio.start(processes)


def test_waiting_stops_when_the_server_has_died(tmp_path: Path) -> None:
    def dead() -> None:
        raise LocalError("it ended by itself")

    with pytest.raises(LocalError, match="ended by itself"):
        until_answers(f"http://127.0.0.1:{free_port()}/health", what="It", timeout_s=60, check=dead)
    with pytest.raises(LocalError, match="did not answer"):
        until_answers(f"http://127.0.0.1:{free_port()}/health", what="It", timeout_s=0.0, check=lambda: None)


def test_the_backend_child_gets_every_setting_in_force() -> None:
    settings = load(
        port=9191,
        redis_url=SecretStr("unix:///run/queue.sock"),
        basic_auth_user="studio",
        basic_auth_pass=SecretStr("open sesame"),
        image_allowed_hosts=("10.0.0.0/8", "files.example"),
    )
    values = child_settings(settings)
    assert values["PORT"] == "9191"
    assert values["REDIS_URL"] == "unix:///run/queue.sock"
    assert values["BASIC_AUTH_PASS"] == "open sesame"
    assert values["IMAGE_ALLOWED_HOSTS"] == "10.0.0.0/8,files.example"
    assert "LABEL_STUDIO_URL" not in values


def test_an_account_does_not_show_its_password() -> None:
    assert "secret" not in repr(Account("somebody@example.com", "secret"))
