"""Tasks to predictions with the real model and real pictures: the time budget, and who goes first."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.drafts import AHEAD, Order
from backend.loading import Loader
from backend.service import Service
from labeling.config import caption_field
from model.store import Store
from settings import Settings
from tests.backend.pictures import OFFICIAL_CONFIG, data_uri, png, task
from tests.checkpoints import tiny_checkpoint
from tests.labeling.servers import Asked, Reply, serving

FIELD = caption_field(OFFICIAL_CONFIG)


@pytest.fixture
def service(make_settings: Callable[..., Settings]) -> Iterator[Service]:
    opened = Service(make_settings(image_allowed_hosts="127.0.0.1"))
    yield opened
    opened.close()


def order(service: Service, uris: list[str], seconds: float) -> Order:
    tasks = [task(number, uri) for number, uri in enumerate(uris)]
    return Order(tasks, FIELD, service.serving, None, time.monotonic() + seconds)


def test_captions_many_tasks_in_order(service: Service) -> None:
    tasks = [task(number) for number in range(3 * AHEAD)]
    answers = service.drafts.write(Order(tasks, FIELD, service.serving, None, time.monotonic() + 60))
    alone = [
        service.drafts.write(Order([one], FIELD, service.serving, None, time.monotonic() + 60))[0] for one in tasks[:3]
    ]
    assert len(answers) == len(tasks)
    for together, single in zip(answers, alone, strict=False):
        assert isinstance(together, dict)
        assert isinstance(single, dict)
        assert together["result"][0]["value"] == single["result"][0]["value"]


def test_what_is_late_is_left_for_another_call(service: Service) -> None:
    def answer(asked: Asked) -> Reply:
        if "slow" in asked.path:
            time.sleep(3)
        return Reply(body=png(), headers={"Content-Type": "image/png"})

    with serving(answer) as host:
        uris = [f"{host.url}/fast.png", f"{host.url}/slow.png", f"{host.url}/fast2.png"]
        started = time.monotonic()
        answers = service.drafts.write(order(service, uris, 1.0))
        assert time.monotonic() - started < 2
    assert answers[0]
    assert answers[1] == []
    text = service.metrics.text().decode()
    assert 'outcome="late"' in text


def test_no_time_at_all_answers_every_task(service: Service) -> None:
    answers = service.drafts.write(order(service, ["data:,x"] * 40, -1.0))
    assert answers == [[]] * 40


def test_a_surprise_in_one_picture_stays_there(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    from model.preprocess import read_image as read

    def trips(data: bytes, *, max_pixels: int) -> object:
        if data == b"trip":
            raise MemoryError
        return read(data, max_pixels=max_pixels)

    monkeypatch.setattr("backend.photos.read_image", trips)
    tasks = [task(0), task(1, "data:image/png;base64,dHJpcA=="), task(2)]
    answers = service.drafts.write(Order(tasks, FIELD, service.serving, None, time.monotonic() + 30))
    assert [bool(answer) for answer in answers] == [True, False, True]


def test_a_long_list_of_failures_is_counted_not_listed(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("WARNING", "backend"):
        service.drafts.write(order(service, ["ftp://nowhere"] * 50, 10))
    assert len(caplog.messages) < 10
    assert "50 of 50 tasks have no caption" in caplog.text


def test_each_caption_may_be_looked_at_and_a_small_order_may_be_told_to_wait(service: Service) -> None:
    looked: list[tuple[int, str]] = []
    tasks = [task(0), task(1, "ftp://nowhere")]
    patient = Order(tasks, FIELD, service.serving, None, time.monotonic() + 30, urgent=False)
    captioned, failed = service.drafts.write(patient, lambda place, caption: looked.append((place, caption.text)))
    assert isinstance(captioned, dict) and failed == []
    assert looked == [(0, captioned["result"][0]["value"]["text"][0])]


def test_the_spool_is_in_the_data_folder(service: Service, tmp_path: Path) -> None:
    assert (tmp_path / "data" / "marks").is_dir()


def test_a_request_ends_with_the_version_it_began_with(service: Service, tmp_path: Path) -> None:
    first = service.serving
    begun = order(service, [data_uri(png(n)) for n in range(12)], 30)
    store = Store(tmp_path / "other")
    version = store.publish(tiny_checkpoint(tmp_path / "second", seed=1))
    second = Loader(store, service.settings, service.predictor).load(version, service.fleet)
    assert second.version != first.version
    service.fleet.rebind({None: second})
    later = order(service, [data_uri(png(n)) for n in range(12)], 30)
    with ThreadPoolExecutor() as threads:
        old, new = threads.map(service.drafts.write, (begun, later))
    assert {answer["model_version"] for answer in old if isinstance(answer, dict)} == {first.version}
    assert {answer["model_version"] for answer in new if isinstance(answer, dict)} == {second.version}
