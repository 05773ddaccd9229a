"""Nothing that opens a door is in a log, at any level, in a traceback or in an answer."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from backend.logs import HIDDEN, configure, redacted
from tests.backend import payloads
from tests.backend.conftest import serving
from tests.backend.pictures import OFFICIAL_CONFIG, task

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJ0b2tlbl90eXBlIjoicmVmcmVzaCJ9.c2lnbmF0dXJl"
LEGACY = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        (f"Authorization: Token {LEGACY}", LEGACY),
        (f"header Token {LEGACY}", LEGACY),
        ("{'Authorization': 'Basic dXNlcjpwYXNz'}", "dXNlcjpwYXNz"),
        (f"got Bearer {JWT}", JWT),
        (f"refresh with {JWT} failed", JWT),
        ('{"access_token": "s3cr3t-value", "x": 1}', "s3cr3t-value"),
        ("task_data_password=s3cr3t&x=1", "s3cr3t"),
        ("redis://user:s3cr3t@queue:6379/0", "s3cr3t"),
        ("redis://:s3cr3t@queue:6379/0", "s3cr3t"),
        ("https://bucket.s3.amazonaws.com/a.jpg?X-Amz-Signature=s3cr3t&X-Amz-Date=1", "s3cr3t"),
        ("https://account.blob.core.windows.net/a.jpg?sig=s3cr3t", "s3cr3t"),
        ("data:image/png;base64,iVBORw0KGgo=", "iVBORw0KGgo"),
        ("the password is hunter22", "hunter22"),
    ],
)
def test_hides_credentials_of_every_shape(line: str, secret: str) -> None:
    shown = redacted(line, ["hunter22"])
    assert secret not in shown
    assert HIDDEN in shown


@pytest.mark.parametrize(
    "line",
    [
        "task 12 has no caption: http://images.example/a.jpg was answered with HTTP 404.",
        "POST /predict 200 in 31 ms",
        "the personal access token was revoked",
        "project 7: ANNOTATION_CREATED marked",
    ],
)
def test_leaves_ordinary_lines_alone(line: str) -> None:
    assert redacted(line, ["abc"]) == line


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    configure("DEBUG", ["hunter22"], stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def test_tracebacks_are_redacted_too(lines: io.StringIO) -> None:
    try:
        raise RuntimeError(f"asking with Token {LEGACY} and hunter22 failed")
    except RuntimeError:
        logging.getLogger("backend.x").exception("it failed")
    assert "Traceback" in lines.getvalue()
    assert LEGACY not in lines.getvalue()
    assert "hunter22" not in lines.getvalue()


def test_the_log_of_a_server_at_debug_holds_no_token_and_no_body(tmp_path: Path, model_dir: Path) -> None:
    secrets = {"label_studio_api_key": LEGACY, "basic_auth_user": "ls", "basic_auth_pass": "hunter22-hunter22"}
    with serving(tmp_path, model_dir, log_level="DEBUG", label_studio_url="http://127.0.0.1:9", **secrets) as server:
        login = ("ls", "hunter22-hunter22")
        setup = {"project": "1.1", "schema": OFFICIAL_CONFIG, "access_token": JWT, "hostname": "http://x"}
        assert server.post("/setup", setup, auth=login).status_code == 200
        tasks = [
            task(1),
            task(2, "/data/upload/1/kept-by-label-studio.jpg"),
            task(3, "http://user:pa55word@127.0.0.1:9/a.jpg?sig=s1gnature"),
            {"id": 4, "data": {"captioning": 5, "private": "a-private-remark"}},
        ]
        body = {"tasks": tasks, "label_config": OFFICIAL_CONFIG, "params": {"password": "task-data-secret"}}
        assert server.post("/predict", body, auth=login).status_code == 200
        assert server.post("/webhook", payloads.CREATED, auth=login).status_code == 200
        assert server.post("/webhook", auth=login, data=f'{{"token": "{JWT}", broken').status_code == 400
        assert requests.get(f"{server.url}/health?token={JWT}", timeout=10).status_code == 200
        assert server.post("/setup", setup, auth=("ls", "wr0ng-password")).status_code == 401
    log = server.log.read_text()
    assert "/predict 200" in log
    assert "task 2 has no caption" in log
    hidden = [LEGACY, JWT, "hunter22", "wr0ng-password", "pa55word", "s1gnature", "task-data-secret"]
    hidden += ["project-secret-token", "a red sofa", "a-private-remark", "Describe the image", "base64,"]
    assert [text for text in hidden if text in log] == []
