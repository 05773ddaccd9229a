"""The service as Label Studio calls it, over real sockets: shapes, versions, failures a task, errors as JSON."""

import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import requests

from backend.admission import URGENT, URGENT_AGAIN_S
from tests.backend.conftest import Running, serving
from tests.backend.pictures import OFFICIAL_CONFIG, data_uri, png, task
from tests.labeling.servers import Asked, Reply
from tests.labeling.servers import serving as web_server

SETUP = {
    "project": "1.1795417146",
    "schema": OFFICIAL_CONFIG,
    "hostname": "http://localhost:8080",
    "access_token": "the-creators-legacy-token",
    "extra_params": None,
}


@pytest.mark.parametrize("path", ["/", "/health"])
def test_health_says_what_is_served(server: Running, path: str) -> None:
    body = server.get(path).json()
    assert body["status"] == "UP"
    assert body["model_class"] == "CaptioningBackend"
    assert body["model_version"] == server.version
    assert (body["device"], body["beam"]) == ("cpu", 3)
    assert (body["aspired"], body["serving"]) == (server.version, server.version)
    assert (body["last_error"], body["quarantined"]) == (None, {})


def test_health_answers_a_probe_that_wants_no_body(server: Running) -> None:
    answer = requests.head(f"{server.url}/health", timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")


def test_setup_names_the_version_that_predictions_carry(server: Running) -> None:
    answer = server.post("/setup", SETUP).json()
    assert answer["model_version"] == server.version
    assert answer["label_config"]["served"]
    assert answer["label_config"]["field"] == "caption"
    (prediction,) = server.predict([task(1)])
    assert prediction["model_version"] == answer["model_version"]


@pytest.mark.parametrize("schema", ["", "<View><Image", "<View/>", '<View><Image name="i" value="$x"/></View>'])
def test_setup_never_fails_on_a_label_config(server: Running, schema: str) -> None:
    answer = server.post("/setup", {**SETUP, "project": "99.1", "schema": schema})
    assert answer.status_code == 200
    assert answer.json()["model_version"] == server.version
    if schema:
        explained = answer.json()["label_config"]
        assert not explained["served"]
        assert explained["problem"]
        assert server.predict([task(1), task(2)], label_config=schema) == [[], []]


def test_a_caption_comes_in_the_shape_that_fills_the_field(server: Running) -> None:
    (prediction,) = server.predict([task(5)])
    (region,) = prediction["result"]
    assert (region["from_name"], region["to_name"], region["type"]) == ("caption", "image", "textarea")
    assert region["origin"] == "prediction"
    (text,) = region["value"]["text"]
    assert text
    assert 0 <= prediction["score"] <= 1
    assert server.predict([task(5)]) == [prediction], "the same picture has the same caption and region id"


def test_one_answer_a_task_and_a_failed_one_is_empty(server: Running) -> None:
    broken = [
        task(2, "/data/upload/1/no-token-is-set.jpg"),
        task(3, "http://169.254.169.254/latest/meta-data"),
        task(4, data_uri(b"not a picture")),
        task(5, data_uri(png()[:200])),
        {"id": 6, "data": {}},
        {"id": 7},
        {},
    ]
    results = server.predict([task(1), *broken, task(8)])
    assert len(results) == len(broken) + 2
    assert results[1:-1] == [[]] * len(broken)
    assert results[0]["result"]
    assert results[-1]["result"]


def test_a_task_with_several_pictures_gets_one_prediction_for_all(server: Running) -> None:
    config = '<View><Image name="image" valueList="$photos"/><TextArea name="caption" toName="image"/></View>'
    several = {"id": 1, "data": {"photos": [data_uri(png(seed)) for seed in range(3)]}}
    torn = {"id": 2, "data": {"photos": [data_uri(png(1)), data_uri(b"torn")]}}
    whole, failed = server.predict([several, torn], label_config=config)
    assert [region["item_index"] for region in whole["result"]] == [0, 1, 2]
    assert failed == []


def test_no_tasks_no_results(server: Running) -> None:
    assert server.predict([]) == []


def test_what_a_person_wrote_comes_back_unchanged(server: Running) -> None:
    written = {
        "id": "a1b2c3",
        "from_name": "caption",
        "to_name": "image",
        "type": "textarea",
        "origin": "prediction-changed",
        "value": {"text": ["a brown dog asleep on a red sofa"]},
    }
    context = {"result": [written, {"type": "choices", "value": {"choices": ["x"]}}]}
    params = {"login": None, "password": None, "context": context}
    (prediction,) = server.predict([task(1)], params=params)
    assert prediction["result"] == [written]
    (emptied,) = server.predict([task(1)], params={"context": {"result": []}})
    assert emptied["result"] == [], "a field emptied on purpose stays empty"
    (fresh,) = server.predict([task(1)], params={"login": None, "password": None, "context": None})
    assert fresh["result"][0]["origin"] == "prediction"


@pytest.mark.parametrize("extra", [{"beam": 1, "caption_field": "second"}, '{"beam": 1, "caption_field": "second"}'])
def test_extra_parameters_of_a_project_come_as_an_object_or_as_text(server: Running, extra: Any) -> None:
    config = (
        '<View><Image name="image" value="$captioning"/><TextArea name="first" toName="image"/>'
        '<TextArea name="second" toName="image"/></View>'
    )
    body = {**SETUP, "project": "55.1", "schema": config, "extra_params": extra}
    assert server.post("/setup", body).json()["label_config"]["field"] == "second"
    (prediction,) = server.predict([task(1)], project="55.1", label_config=config)
    assert prediction["result"][0]["from_name"] == "second"


def test_versions_by_get_and_post(server: Running) -> None:
    assert server.get("/versions").json() == {"versions": [server.version]}
    assert server.post("/versions", {"project": "1.1"}).json() == {"versions": [server.version]}


def test_old_servers_are_answered(server: Running) -> None:
    assert server.get("/is_training?project=1").json() == {"is_training": False}
    gone = server.post("/job_status", {"job": "x"})
    assert gone.status_code == 410
    assert gone.json()["error"]


def test_status_and_metrics_tell_what_happened(server: Running) -> None:
    server.post("/setup", SETUP)
    server.predict([task(1), task(2, "ftp://x")])
    status = server.get("/status").json()
    assert status["model_version"] == server.version
    project = status["projects"]["1"]
    assert project["served"]
    assert (project["aspired"], project["serving"], project["quarantine"]) == (server.version, server.version, None)
    assert project["since"] == status["serving_since"]
    text = server.get("/metrics")
    assert text.headers["content-type"].startswith("text/plain")
    assert f'recaption_tasks_total{{outcome="captioned",version="{server.version}"}}' in text.text
    assert f'recaption_tasks_total{{outcome="failed",version="{server.version}"}}' in text.text
    assert 'recaption_request_seconds_bucket{le="0.05",path="/setup"}' in text.text


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "the body is empty"),
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[1]", "the body is a list"),
        (b'"x"', "the body is a text"),
        (b"[" * 100_000, "not JSON"),
        (b"{}", '"tasks" must be a list'),
        (b'{"tasks": {}, "label_config": ""}', '"tasks" must be a list'),
        (b'{"tasks": [{}, 1], "label_config": ""}', '"tasks"[1] must be an object'),
        (b'{"tasks": []}', '"label_config" must be'),
    ],
)
def test_a_malformed_body_is_refused_with_a_reason(server: Running, body: bytes, reason: str) -> None:
    answer = server.post("/predict", data=body)
    assert answer.status_code == 400
    error = answer.json()
    assert reason in error["error"]
    assert error["request_id"] == answer.headers["X-Request-ID"]


def test_a_body_too_large_is_refused_before_it_is_read(server: Running) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n{")
        assert b" 413 " in connection.recv(1000).splitlines()[0]


@pytest.mark.parametrize(
    ("method", "path", "status"), [("GET", "/nothing", 404), ("GET", "/predict", 405), ("DELETE", "/health", 405)]
)
def test_other_addresses_and_methods_are_json_errors(server: Running, method: str, path: str, status: int) -> None:
    answer = requests.request(method, server.url + path, timeout=10)
    assert answer.status_code == status
    assert path in answer.json()["error"]


def test_a_request_may_bring_its_id(server: Running) -> None:
    assert server.get("/health", headers={"X-Request-ID": "abc-1"}).headers["X-Request-ID"] == "abc-1"
    strange = server.get("/health", headers={"X-Request-ID": "x" * 100 + "{}"})
    assert strange.headers["X-Request-ID"] != "x" * 100 + "{}"


def test_a_recorded_request_of_label_studio_is_answered(server: Running) -> None:
    recorded = json.loads((Path(__file__).parents[1] / "labeling/payloads/predict.json").read_text())
    assert server.post("/predict", recorded).json() == {"results": [[]]}, "its upload needs a token that is not set"


def test_too_many_at_once_are_told_to_come_back_and_nothing_else_waits(tmp_path: Path, model_dir: Path) -> None:
    held = threading.Event()

    def never(asked: Asked) -> Reply:
        held.wait(30)
        return Reply(404)

    with web_server(never) as host, serving(tmp_path, model_dir, image_allowed_hosts="127.0.0.1") as server:
        body = {"tasks": [task(1, f"{host.url}/slow.jpg")], "label_config": OFFICIAL_CONFIG, "project": "1.1"}
        asking = [threading.Thread(target=server.post, args=("/predict", body)) for _ in range(2 * URGENT)]
        for thread in asking:
            thread.start()
        deadline = time.monotonic() + 20
        while (answer := server.post("/predict", {**body, "tasks": []})).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, str(URGENT_AGAIN_S))
        assert str(URGENT) in answer.json()["error"]
        assert server.get("/health").status_code == 200
        held.set()
        for thread in asking:
            thread.join()
        assert server.predict([task(1)])[0]


def test_a_caller_that_hangs_up_half_way_leaves_no_traceback(tmp_path: Path, model_dir: Path) -> None:
    with serving(tmp_path, model_dir) as server:
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(b"POST /webhook HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{")
        assert server.get("/health").status_code == 200
    log = server.log.read_text()
    assert "the caller hung up" in log
    assert "Traceback" not in log
