"""Serving follows the pointers: what is loaded, what is put into quarantine and what goes on meanwhile.

A real store, real versions, a real model thread; the watcher is told when to look.
"""

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from backend import watcher as watching
from backend.fleet import Fleet
from backend.loading import Loader
from backend.metrics import Metrics
from backend.predictor import Predictor
from backend.serving import ServingError
from backend.watcher import Watcher
from model.store import Store
from settings import load
from tests.backend.versions import gone_mad, promote, retrained, torn
from tests.checkpoints import tiny_checkpoint


@dataclass
class Rig:
    """A store with three versions, and who follows its pointers."""

    store: Store
    folder: Path
    versions: list[str]
    predictor: Predictor
    fleet: Fleet = field(default_factory=Fleet)
    metrics: Metrics = field(default_factory=Metrics)
    moves: list[dict[int | None, str]] = field(default_factory=list)

    def watcher(self) -> Watcher:
        loader = Loader(self.store, load(model_dir=self.store.root, threads=1), self.predictor)
        return Watcher(self.store, loader, self.fleet, self.metrics, self._moved)

    def _moved(self) -> None:
        self.moves.append(self.served())

    def served(self) -> dict[int | None, str]:
        return {seat: serving.version for seat, serving in self.fleet.table.items()}

    def metric(self, name: str) -> float:
        lines = [line for line in self.metrics.text().decode().splitlines() if line.startswith(name)]
        return float(lines[0].split()[-1]) if lines else 0.0

    def quarantines(self) -> list[dict[str, object]]:
        return [line for line in self.store.history() if line["event"] == "quarantine"]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    store = Store(tmp_path / "models")
    first = store.publish(tiny_checkpoint(tmp_path / "first"))
    versions = [first, *(retrained(store, first, tmp_path / str(seed), seed) for seed in (1, 2))]
    promote(store, first)
    made = Rig(store, tmp_path, versions, Predictor())
    yield made
    made.predictor.close()


@pytest.fixture
def watcher(rig: Rig) -> Iterator[Watcher]:
    made = rig.watcher()
    made.look()
    yield made
    made.close()


def test_a_project_follows_the_default_until_it_has_a_pointer_of_its_own(rig: Rig, watcher: Watcher) -> None:
    first, second, third = rig.versions
    promote(rig.store, second, "7")
    watcher.look()
    assert rig.served() == {None: first, 7: second}
    promote(rig.store, third)
    watcher.look()
    assert rig.served() == {None: third, 7: second}
    assert (watcher.aspired(7), watcher.aspired(8), watcher.aspired(None)) == (second, third, third)
    (rig.store.root / "refs" / "7.json").unlink()
    watcher.look()
    assert rig.served() == {None: third}
    assert rig.moves[-1] == {None: third}


def test_what_did_not_move_is_not_even_read(rig: Rig, watcher: Watcher, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rig.store, "own_champion", lambda name: pytest.fail(f"{name} was read"))
    watcher.look()


def test_a_version_is_loaded_once_for_all_its_projects(rig: Rig, watcher: Watcher) -> None:
    for project in ("7", "8"):
        promote(rig.store, rig.versions[1], project)
    watcher.look()
    assert rig.fleet.of(7) is rig.fleet.of(8) is not rig.fleet.of(None)
    promote(rig.store, rig.versions[1])
    watcher.look()
    assert rig.fleet.of(None) is rig.fleet.of(7)
    assert rig.metric('recaption_swaps_total{outcome="swapped"}') == 3


def test_other_files_among_the_pointers_are_no_pointers(rig: Rig, watcher: Watcher) -> None:
    for name in (".7.json.stage", "7.json.bak", "seven.json", "007.json", "7.json~"):
        shutil.copy(rig.store.root / "refs" / "default.json", rig.store.root / "refs" / name)
    watcher.look()
    assert rig.served() == {None: rig.versions[0]}


@pytest.mark.parametrize("make", [gone_mad, lambda store, folder: torn(store, store.versions()[-1])])
def test_a_bad_version_is_put_into_quarantine_and_the_old_one_stays(
    rig: Rig, watcher: Watcher, make: Callable[[Store, Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    bad = make(rig.store, rig.folder / "bad")
    before = rig.fleet.of(None)
    promote(rig.store, bad)
    with caplog.at_level(logging.ERROR, "backend"):
        for _ in range(3):
            watcher.look()
    assert rig.fleet.of(None) is before
    assert watcher.aspired(None) == bad
    assert watcher.fault(None) == watcher.quarantined()[bad]
    assert len([text for text in caplog.messages if bad in text]) == 1
    (line,) = rig.quarantines()
    assert (line["version"], line["project"], line["reason"]) == (bad, "default", watcher.quarantined()[bad])
    assert rig.metric("recaption_awaited_versions") == 1
    assert rig.metric('recaption_swaps_total{outcome="quarantined"}') == 1


def test_a_good_version_ends_the_quarantine(rig: Rig, watcher: Watcher) -> None:
    promote(rig.store, gone_mad(rig.store, rig.folder / "bad"))
    watcher.look()
    promote(rig.store, rig.versions[1])
    watcher.look()
    assert rig.served() == {None: rig.versions[1]}
    assert (watcher.fault(None), watcher.quarantined()) == (None, {})
    assert rig.metric("recaption_awaited_versions") == 0


def test_a_version_mended_meanwhile_is_tried_when_a_pointer_moves_to_it_again(rig: Rig, watcher: Watcher) -> None:
    first, second, _ = rig.versions
    weights = rig.store.folder(second) / "decoder.safetensors"
    whole = weights.read_bytes()
    torn(rig.store, second)
    promote(rig.store, second)
    watcher.look()
    weights.write_bytes(whole)
    watcher.look()
    assert rig.served() == {None: first}, "nothing moved, and a torn file does not heal"
    promote(rig.store, first)
    promote(rig.store, second)
    watcher.look()
    assert rig.served() == {None: second}


def test_one_projects_bad_version_is_no_other_projects_trouble(rig: Rig, watcher: Watcher) -> None:
    promote(rig.store, gone_mad(rig.store, rig.folder / "bad"), "7")
    promote(rig.store, rig.versions[1], "8")
    watcher.look()
    # Nothing of its own was ever loaded for 7, and its pointer knows what served it before: the default's.
    assert rig.fleet.of(7).version == rig.versions[0]
    assert rig.fleet.of(8).version == rig.versions[1]
    assert watcher.fault(7) and watcher.fault(8) is None and watcher.fault(None) is None


def test_files_that_come_after_the_pointer_are_waited_for(
    rig: Rig, watcher: Watcher, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, _ = rig.versions
    promote(rig.store, second)
    folder = rig.store.folder(second)
    folder.rename(rig.folder / "not here yet")
    for _ in range(2):
        watcher.look()
    assert rig.served() == {None: first} and second in watcher.quarantined()
    (rig.folder / "not here yet").rename(folder)
    watcher.look()
    assert rig.served() == {None: first}, "it is not tried at every look"
    monkeypatch.setattr(watching, "RETRY_S", 0.0)
    watcher.look()
    assert rig.served() == {None: second} and watcher.quarantined() == {}
    assert len(rig.quarantines()) == 1


def test_a_pointer_that_cannot_be_read_leaves_who_served(rig: Rig, watcher: Watcher) -> None:
    promote(rig.store, rig.versions[1], "7")
    watcher.look()
    for name in ("default", "7"):
        (rig.store.root / "refs" / f"{name}.json").write_text("{")
    watcher.look()
    assert rig.served() == {None: rig.versions[0], 7: rig.versions[1]}
    assert "is not a champion pointer" in str(watcher.fault(7)) and "default.json" in str(watcher.fault(None))


def test_a_store_that_is_away_for_a_while_is_no_reason_to_forget_anybody(rig: Rig, watcher: Watcher) -> None:
    promote(rig.store, rig.versions[1], "7")
    watcher.look()
    rig.store.root.rename(rig.folder / "unmounted")
    watcher.look()
    assert rig.served() == {None: rig.versions[0], 7: rig.versions[1]}
    (rig.folder / "unmounted").rename(rig.store.root)
    promote(rig.store, rig.versions[2], "7")
    watcher.look()
    assert rig.fleet.of(7).version == rig.versions[2]


def test_a_start_on_a_bad_champion_serves_the_one_before(rig: Rig) -> None:
    bad = gone_mad(rig.store, rig.folder / "bad")
    promote(rig.store, bad)
    watcher = rig.watcher()
    watcher.begin()
    watcher.close()
    assert rig.served() == {None: rig.versions[0]} and bad in watcher.quarantined()


def test_a_start_without_any_good_version_fails_and_says_why(rig: Rig) -> None:
    torn(rig.store, rig.versions[0])
    with pytest.raises(ServingError, match=r"MODEL_DIR=.*decoder\.safetensors is not the file"):
        rig.watcher().begin()


def test_a_history_that_cannot_be_written_hinders_nothing(
    rig: Rig, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*facts: object, **figures: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(rig.store, "record", full)
    promote(rig.store, gone_mad(rig.store, rig.folder / "bad"))
    watcher.look()
    assert rig.served() == {None: rig.versions[0]} and len(watcher.quarantined()) == 1


def test_the_thread_follows_within_two_seconds_and_survives_a_surprise(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    watcher = rig.watcher()
    watcher.begin()
    surprises = iter([RuntimeError("a surprise")])
    looked = watcher.look

    def look() -> None:
        for surprise in surprises:
            raise surprise
        looked()

    monkeypatch.setattr(watcher, "look", look)
    deadline = time.monotonic() + 10
    while "could not be followed" not in caplog.text and time.monotonic() < deadline:
        time.sleep(0.02)
    moved = time.monotonic()
    promote(rig.store, rig.versions[1])
    while rig.fleet.of(None).version != rig.versions[1] and time.monotonic() < moved + 10:
        time.sleep(0.02)
    assert time.monotonic() - moved < 2
    watcher.close()
