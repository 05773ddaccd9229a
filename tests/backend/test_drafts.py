"""Tasks to predictions with the real model and real pictures: the time budget, and who goes first."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from backend.drafts import AHEAD, Order
from backend.loading import Loader
from backend.service import Service
from labeling.config import caption_field
from model.preprocess import read_pixels
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
    from model.preprocess import read_pixels as read

    def trips(data: bytes, *, max_pixels: int) -> object:
        if data == b"trip":
            raise MemoryError
        return read(data, max_pixels=max_pixels)

    monkeypatch.setattr("backend.photos.read_pixels", trips)
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


def test_an_order_hears_which_tasks_there_was_no_time_for(service: Service) -> None:
    late: list[list[int]] = []
    tasks = [{"id": 1, "data": {}}, task(2), task(3)]
    for seconds in (-1.0, 30.0):
        deadline = time.monotonic() + seconds
        service.drafts.write(Order(tasks, FIELD, service.serving, None, deadline), late=late.append)
    assert late == [[1, 2], []], "a task that failed is not one that was late"


def test_a_picture_that_has_its_caption_is_neither_decoded_nor_captioned_again(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []

    def counts(data: bytes, *, max_pixels: int) -> object:
        decoded.append(data)
        return read_pixels(data, max_pixels=max_pixels)

    monkeypatch.setattr("backend.photos.read_pixels", counts)
    uri, other = data_uri(png(100)), data_uri(png(101))
    first = service.drafts.write(order(service, [uri], 30))
    again = service.drafts.write(order(service, [other, uri, other, uri], 30))
    assert again[1] == again[3] == first[0] and again[0] == again[2] != first[0]
    assert decoded.count(png(100)) == 1
    batches = service.metrics.registry.get_sample_value("recaption_batch_size_sum")
    wider = Order([task(0, uri)], FIELD, service.serving, 2, time.monotonic() + 30)
    service.drafts.write(wider)
    assert decoded.count(png(100)) == 2, "another search is another caption"
    assert service.metrics.registry.get_sample_value("recaption_batch_size_sum") == (batches or 0) + 1


def test_an_annotator_does_not_wait_for_the_pictures_of_a_bulk(service: Service) -> None:
    """The host of the bulk's pictures is slow: it keeps every thread of the bulk busy."""
    held = threading.Event()

    def answer(asked: Asked) -> Reply:
        held.wait(20)
        return Reply(404)

    with serving(answer) as host, ThreadPoolExecutor() as threads:
        bulk = threads.submit(service.drafts.write, order(service, [f"{host.url}/{n}.png" for n in range(40)], 20))
        time.sleep(0.2)
        started = time.monotonic()
        (drafted,) = service.drafts.write(order(service, [data_uri(png(7))], 20))
        assert drafted and time.monotonic() - started < 5
        held.set()
        assert bulk.result(20) == [[]] * 40


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
