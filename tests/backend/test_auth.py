"""Basic authentication: on every address, for Label Studio's calls and its webhooks alike."""

import base64
from collections.abc import Iterator

import pytest

from backend.auth import BasicAuth
from tests.backend import payloads
from tests.backend.conftest import Running, serving

USER, PASSWORD = "label-studio", "pässwort: with colon"


def header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, model_dir: object) -> Iterator[Running]:
    from pathlib import Path

    assert isinstance(model_dir, Path)
    folder = tmp_path_factory.mktemp("guarded")
    with serving(folder, model_dir, basic_auth_user=USER, basic_auth_pass=PASSWORD) as running:
        yield running


@pytest.mark.parametrize(
    ("sent", "accepted"),
    [
        (header(USER, PASSWORD), True),
        (header(USER, PASSWORD).replace("Basic", "basic"), True),
        (header(USER, PASSWORD + "x"), False),
        (header("", ""), False),
        (header("ü" * 50, PASSWORD), False),
        (f"Bearer {PASSWORD}", False),
        ("Basic not!base64", False),
        ("Basic", False),
        ("", False),
        (None, False),
    ],
)
def test_accepts_the_password_and_nothing_else(sent: str | None, accepted: bool) -> None:
    assert BasicAuth(USER, PASSWORD).accepts(sent) is accepted


def test_without_a_password_everyone_may_enter() -> None:
    assert BasicAuth(None, None).accepts(None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("post", "/setup"),
        ("post", "/predict"),
        ("post", "/webhook"),
        ("post", "/train"),
        ("post", "/job_status"),
        ("get", "/versions"),
        ("post", "/versions"),
        ("get", "/is_training"),
        ("get", "/status"),
        ("get", "/metrics"),
    ],
)
def test_every_address_asks(guarded: Running, method: str, path: str) -> None:
    answer = getattr(guarded, method)(path)
    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic")
    assert "BASIC_AUTH_USER" in answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_without_credentials_says_no_more_than_that_it_lives(guarded: Running, path: str) -> None:
    assert guarded.get(path).json() == {"status": "UP"}
    assert guarded.get(path, headers={"Authorization": header(USER, "wrong")}).status_code == 401
    assert guarded.get(path, headers={"Authorization": header(USER, PASSWORD)}).json()["model_version"]


def test_a_webhook_with_the_header_that_connect_sets_is_let_in(guarded: Running) -> None:
    answer = guarded.post("/webhook", payloads.CREATED, headers={"Authorization": header(USER, PASSWORD)})
    assert (answer.status_code, answer.json()["status"]) == (200, "marked")


def test_refusals_are_counted(guarded: Running) -> None:
    guarded.post("/setup", {})
    text = guarded.get("/metrics", headers={"Authorization": header(USER, PASSWORD)}).text
    assert float(text.split("\nrecaption_auth_failures_total ")[1].splitlines()[0]) >= 1
