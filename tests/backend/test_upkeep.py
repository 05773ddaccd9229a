"""What serves, carried to Label Studio by the service itself: names, then tasks; after a start, a swap, a rollback, a
crash, and while Label Studio is away. A real service and real versions; Label Studio is the stand-in of desk.py."""

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from backend import bookmark, care, leftover, prelabel, upkeep
from backend import relink as relinking
from backend.bookmark import Bookmark
from backend.captioning import CaptioningBackend
from backend.onlyone import turn
from backend.service import Service
from model.store import Store
from settings import Settings
from tests.backend.desk import PROJECT, TOKEN, Desk, opened
from tests.backend.versions import promote, retrained
from tests.checkpoints import tiny_checkpoint
from tests.waiting import wait_until

URL = "http://backend:9090"
COUNT = 5
soon = partial(wait_until, timeout_s=20.0)


@dataclass
class House:
    """A store of two versions, a desk, and services on them."""

    store: Store
    desk: Desk
    settings: Settings
    first: str
    second: str
    opened: list[Service]

    def start(self, **changes: Any) -> Service:
        service = Service(self.settings.model_copy(update=changes))
        self.opened.append(service)
        return service

    def stop(self) -> None:
        while self.opened:
            self.opened.pop().close()

    @property
    def mark(self) -> Bookmark | None:
        return bookmark.read(self.settings.data_dir, PROJECT)

    def settled(self, version: str) -> bool:
        return self.desk.names == (version, version) and self.desk.versions() == [[version]] * len(self.desk.tasks)

    def texts(self) -> list[str]:
        stored = [self.desk.predictions(int(row["id"]))[0] for row in self.desk.tasks]
        return [str(one["result"][0]["value"]["text"][0]) for one in stored]


@pytest.fixture
def house(tmp_path: Path, make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    for name, value in {"START_S": 0.0, "EVERY_S": 0.05, "LOOK_AGAIN_S": 0.3, "RETRY_S": 0.2}.items():
        monkeypatch.setattr(upkeep, name, value)
    monkeypatch.setattr(care, "LOOK_AGAIN_S", 0.3)
    store = Store(tmp_path / "models")
    first = store.publish(tiny_checkpoint(tmp_path / "first"))
    second = retrained(store, first, tmp_path / "second", seed=1, by=1.0)
    promote(store, first)
    desk = Desk(COUNT)
    with opened(desk):
        known = {"label_studio_url": desk.url, "label_studio_api_key": TOKEN, "backend_url": URL}
        made = House(store, desk, make_settings(model_dir=store.root, **known), first, second, [])
        yield made
        made.stop()


@pytest.fixture
def connected(house: House) -> House:
    house.desk.connect(URL, house.first)
    return house


def swap(house: House, service: Service, version: str) -> None:
    promote(house.store, version)
    soon(lambda: service.serving.version == version)


def test_a_project_that_is_new_here_gets_its_first_captions(connected: House) -> None:
    service = connected.start()
    service.heard_of(PROJECT)
    soon(lambda: connected.settled(connected.first))
    soon(lambda: connected.mark == Bookmark(connected.first, COUNT, done=True))
    writes = [(method, path) for method, path, _ in connected.desk.writes]
    assert writes == [("POST", f"/api/projects/{PROJECT}/import/predictions")], "its names were right already"
    assert service.upkeep is not None
    note = service.upkeep.note(PROJECT)
    assert note["relink"] == "title and model_version name the served version"
    assert (note["relabel"]["captioned"], note["relabel"]["done"]) == (COUNT, True)


def test_names_and_captions_follow_a_swap_and_a_rollback(connected: House) -> None:
    service = connected.start()
    service.heard_of(PROJECT)
    soon(lambda: connected.settled(connected.first))
    texts = connected.texts()
    ids = [connected.desk.predictions(number)[0]["id"] for number in range(1, COUNT + 1)]
    swap(connected, service, connected.second)
    soon(lambda: connected.settled(connected.second))
    connected.store.rollback("default", by="tests", reason="worse in practice")
    soon(lambda: connected.settled(connected.first))
    assert connected.texts() == texts
    assert [connected.desk.predictions(number)[0]["id"] for number in range(1, COUNT + 1)] == ids, "each in its place"
    assert connected.desk.settings["sampling"] == "Uncertainty sampling"


def test_a_project_with_a_pointer_of_its_own_is_known_by_that(connected: House) -> None:
    promote(connected.store, connected.second, str(PROJECT))
    service = connected.start()
    soon(lambda: connected.settled(connected.second))
    assert service.marks.flush(5) and service.marks.projects() == [PROJECT]


def test_a_swap_while_nobody_served_is_noticed_at_the_start(connected: House) -> None:
    for number in range(1, COUNT + 1):
        connected.desk.predict(number, connected.first)
    promote(connected.store, connected.second)
    connected.start().heard_of(PROJECT)
    soon(lambda: connected.settled(connected.second))


def test_a_swap_in_the_middle_begins_anew_with_the_version_that_serves(
    connected: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prelabel, "PAGE", 2)
    service = connected.start()
    swapped: list[bool] = []

    def meanwhile() -> None:
        if not swapped and connected.desk.versions()[0]:
            swapped.append(True)
            swap(connected, service, connected.second)

    connected.desk.before_page = meanwhile
    service.heard_of(PROJECT)
    soon(lambda: connected.settled(connected.second))
    assert swapped


def test_a_crash_in_the_middle_goes_on_behind_the_bookmark(connected: House) -> None:
    bookmark.write(connected.settings.data_dir, PROJECT, Bookmark(connected.first, 3))
    connected.start().heard_of(PROJECT)
    soon(lambda: connected.mark == Bookmark(connected.first, COUNT, done=True))
    assert connected.desk.versions() == [[], [], [], [connected.first], [connected.first]]


def test_without_relabelling_only_the_names_follow(connected: House) -> None:
    service = connected.start(relabel_after_swap=False)
    service.heard_of(PROJECT)
    swap(connected, service, connected.second)
    soon(lambda: connected.desk.names == (connected.second, connected.second))
    time.sleep(0.5)
    assert connected.desk.versions() == [[]] * COUNT and connected.mark is None


def test_what_a_person_has_chosen_stays(connected: House) -> None:
    connected.desk.settings |= {"model_version": "a better model", "sampling": "Uniform sampling"}
    service = connected.start()
    service.heard_of(PROJECT)
    swap(connected, service, connected.second)
    soon(lambda: connected.desk.names[0] == connected.second)
    time.sleep(0.5)
    assert connected.desk.names[1] == "a better model"
    assert connected.desk.settings["sampling"] == "Uniform sampling"


def test_a_project_that_is_not_connected_is_left_alone(house: House) -> None:
    service = house.start()
    service.heard_of(PROJECT)
    assert service.upkeep is not None
    soon(lambda: service.upkeep and "not connected to http://backend:9090" in str(service.upkeep.note(PROJECT)))
    assert house.desk.writes == [] and house.mark is None


def test_the_login_goes_along_or_label_studio_could_not_look(connected: House) -> None:
    connected.desk.connect(URL, "recaption-0")
    connected.start(basic_auth_user="me", basic_auth_pass=connected.settings.label_studio_api_key).heard_of(PROJECT)
    soon(lambda: connected.desk.names == (connected.first, connected.first))
    (body,) = [body for method, path, body in connected.desk.writes if path.startswith("/api/ml/")]
    assert (body["basic_auth_user"], body["basic_auth_pass"]) == ("me", TOKEN)


def test_a_change_that_label_studio_undoes_is_made_again(connected: House, caplog: pytest.LogCaptureFixture) -> None:
    connected.desk.connect(URL, "recaption-0")
    connected.desk.forgets = relinking.TRIES + 1
    connected.start().heard_of(PROJECT)
    soon(lambda: connected.settled(connected.first))
    assert "has title 'recaption-0' after it was given" in caplog.text


def test_a_label_studio_that_is_away_is_waited_for_and_told_of_once(
    connected: House, caplog: pytest.LogCaptureFixture
) -> None:
    connected.desk.away = True
    service = connected.start()
    with caplog.at_level(logging.WARNING, "backend"):
        service.heard_of(PROJECT)
        time.sleep(1.0)
    assert len([text for text in caplog.messages if "is not up to date" in text or "503" in text]) == 1
    connected.desk.away = False
    soon(lambda: connected.settled(connected.first))


def test_only_one_process_speaks_for_a_project(connected: House) -> None:
    with turn(connected.settings.data_dir, PROJECT) as mine:
        assert mine
        with turn(connected.settings.data_dir, PROJECT) as also:
            assert not also
        service = connected.start()
        service.heard_of(PROJECT)
        soon(lambda: service.upkeep and "another process" in str(service.upkeep.note(PROJECT)))
    assert connected.desk.writes == []


def test_a_label_config_without_a_caption_is_said_once(connected: House, caplog: pytest.LogCaptureFixture) -> None:
    connected.desk.label_config = "<View/>"
    service = connected.start()
    service.heard_of(PROJECT)
    soon(lambda: service.upkeep and "cannot be captioned" in str(service.upkeep.note(PROJECT)))
    time.sleep(1.5)
    assert len([text for text in caplog.messages if "is not up to date" in text]) == 1


def test_closing_does_not_wait_for_the_tasks(connected: House) -> None:
    connected.desk.tasks = Desk(400).tasks
    connected.start().heard_of(PROJECT)
    time.sleep(1.0)
    started = time.monotonic()
    connected.stop()
    assert time.monotonic() - started < 10
    assert connected.mark == Bookmark(connected.first) or (connected.mark and connected.mark.after)


def test_without_label_studio_there_is_nobody_to_tell(house: House, make_settings: Callable[..., Settings]) -> None:
    service = Service(make_settings())
    service.heard_of(PROJECT)
    assert service.upkeep is None
    service.close()


def predict(house: House, monkeypatch: pytest.MonkeyPatch, service: Service) -> list[Any]:
    """What the plug-in answers for all tasks of the project."""
    monkeypatch.setattr("backend.service._shared", service)
    backend = CaptioningBackend(project_id=PROJECT, label_config=house.desk.label_config)
    return list(backend.predict(house.desk.tasks))


@pytest.mark.parametrize("relabel", [True, False])
def test_what_a_request_had_no_time_for_is_captioned_all_the_same(
    connected: House, monkeypatch: pytest.MonkeyPatch, relabel: bool
) -> None:
    for number in range(1, COUNT + 1):
        connected.desk.predict(number, connected.first)
    service = connected.start(predict_budget_s=1e-6, relabel_after_swap=relabel)
    service.heard_of(PROJECT)
    if relabel:
        soon(lambda: connected.mark is not None and connected.mark.done)
    connected.desk.tasks.extend(Desk(COUNT + 3).tasks[COUNT:])
    assert predict(connected, monkeypatch, service) == [[]] * (COUNT + 3)
    soon(lambda: connected.settled(connected.first))
    soon(lambda: connected.mark is not None and connected.mark.done)
    assert leftover.waiting(connected.settings.data_dir, PROJECT) == []


def test_what_was_left_while_tasks_are_captioned_is_not_lost(connected: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """The background is behind those tasks already; its own bookmark must not wipe out the note."""
    monkeypatch.setattr(prelabel, "PAGE", 2)
    service = connected.start()
    left: list[bool] = []

    def meanwhile() -> None:
        if not left and connected.desk.versions()[3]:
            left.append(True)
            connected.desk.tasks[0]["predictions"].clear()
            service.leave(PROJECT, connected.desk.tasks[:1])

    connected.desk.before_page = meanwhile
    service.heard_of(PROJECT)
    soon(lambda: left and connected.settled(connected.first))
    soon(lambda: connected.mark == Bookmark(connected.first, COUNT, done=True))


def test_with_no_label_studio_what_is_left_is_said(
    make_settings: Callable[..., Settings], caplog: pytest.LogCaptureFixture
) -> None:
    service = Service(make_settings())
    service.leave(PROJECT, [{"id": number} for number in (1, 2, 3)])
    service.close()
    assert "3 tasks of project 7 are left until Label Studio asks again" in caplog.text
