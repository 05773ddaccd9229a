"""Whole trainings, from a stand-in Label Studio (see world) to the pointer in a real store."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from labeling.session import LabelStudioError
from model import checkpoint as checkpoints
from model.checkpoint import Checkpoint
from model.datasets import DatasetError
from model.shelf import content_key
from model.store import Store
from model.training import agreement
from model.training.finetune import FineTune
from settings import SettingsError
from tests.checkpoints import tiny_checkpoint
from tests.labeling.servers import serving
from tests.photos import drawn, encoded
from tests.trainer.learning.world import PROJECT, StandIn, World
from trainer.learning import run as run_module
from trainer.learning.begin import Busy, alone
from trainer.learning.files import read_rows
from trainer.learning.gather import GatherError
from trainer.learning.report import text
from trainer.learning.run import Wishes, learn
from trainer.learning.stopping import Signals
from trainer.learning.tune import ALONE

# For trainings whose challenger is not what is looked at.
QUICK: dict[str, Any] = {"gate_images": 1000, "finetune_epochs": 1}


def train(world: World, wishes: Wishes | None = None, **changes: Any) -> dict[str, Any]:
    with Signals() as signals:
        return learn(world.settings(**changes), PROJECT, wishes or Wishes(), signals)


def progress(world: World) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((world.runs / "progress.json").read_text())
    return found


@dataclass(frozen=True)
class Done:
    """A training that was promoted, to be looked at from all sides and changed by none."""

    world: World
    report: dict[str, Any]

    @property
    def folder(self) -> Path:
        return self.world.runs / str(self.report["run"])


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory, squares: Path, untrained: Path) -> Iterator[Done]:
    """Twenty corrections, and one of a photo of the benchmark."""
    studio = StandIn()
    studio.correct(20)
    studio.add(50, (squares / "images" / "dev0.jpg").read_bytes(), ["a square of the benchmark"])
    with serving(studio.answer) as server:
        world = World(tmp_path_factory.mktemp("done"), untrained, server, studio, squares)
        yield Done(world, train(world))


def test_a_better_challenger_is_promoted(done: Done) -> None:
    world, report = done.world, done.report
    own = world.store.own_champion(str(PROJECT))
    assert own is not None and report["event"] == "promotion", report["reason"]
    assert (own.version, own.previous, own.by) == (report["challenger"], world.champion, f"run {report['run']}")
    assert report["serves"] == own.version and world.events() == ["promotion"]
    [line] = world.store.history(str(PROJECT))
    assert line["gate"]["benchmark"]["comparison"]["images"] == 12 and line["seconds"]["finetune"] > 0
    counts = line["corrections"]
    assert counts["learnt"] + counts["held_out"] == 21 and 2 < counts["held_out"] < 18
    assert line["watermark"] == "2026-01-02T03:04:50.000000+00:00" and line["recent"]["150"]
    assert progress(world)["stage"] == "done" and progress(world)["bleu4"] > 10


def test_the_version_states_what_it_was_made_of(done: Done) -> None:
    world, report = done.world, done.report
    folder = world.store.folder(report["challenger"])
    manifest = checkpoints.read_json(folder / "manifest.json")
    assert manifest["parent"] == world.champion.removeprefix("recaption-") and manifest["run"] == report["run"]
    assert manifest["data"]["corrections"] == report["corrections"] and manifest["fence"] == 1
    stated = manifest["validation"]["benchmark"]
    assert stated["bleu"][3] == pytest.approx(report["gate"]["benchmark"]["comparison"]["challenger"])
    assert stated["signature"] and stated["confidence"]["bleu4"] and manifest["interpolation"] == 1.0
    shared = folder / "encoder.safetensors"
    assert shared.samefile(world.store.folder(world.champion) / "encoder.safetensors")
    assert checkpoints.load(folder).version == report["challenger"]


def test_the_run_keeps_what_it_judged_by_and_drops_what_is_large(done: Done) -> None:
    names = {path.name for path in (done.folder / "evidence").iterdir()}
    assert names == {f"{name}-{role}.json" for name in ("benchmark", "domain") for role in ("champion", "challenger")}
    written = json.loads((done.folder / "evidence" / "benchmark-challenger.json").read_text())
    assert len(written["captions"]) == 12 and "square" in written["captions"][0]["caption"]
    assert not (done.folder / "challenger").exists() and not (done.folder / "finetune" / "state.pt").exists()
    stages = [row["stage"] for row in read_rows(done.folder / "metrics.jsonl") if row["event"] == "stage"]
    assert stages == ["gather", "finetune", "evidence", "decide"]


def test_nothing_that_is_judged_by_is_learnt_from(done: Done, squares: Path) -> None:
    """Twelve of the base's photos are the benchmark's too, under other names; so is a corrected one."""
    corrections = read_rows(done.folder / "corrections.jsonl")
    held_out = {row["key"] for row in corrections if row["held_out"]}
    benchmark = {content_key(path.read_bytes()) for path in (squares / "images").glob("dev*")}
    replayed = {row["key"] for row in read_rows(done.folder / "replay.jsonl")}
    assert content_key((squares / "images" / "dev0.jpg").read_bytes()) in held_out and len(replayed) == 12
    assert replayed.isdisjoint(held_out | benchmark | {row["key"] for row in corrections})
    made = json.loads((done.folder / "finetune.json").read_text())
    assert made["lessons"] == len(corrections) - len(held_out)


def test_replayed_photos_are_learnt_by_the_captions_that_agree_best(
    world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(agreement, "FEWEST", 2)
    studio.correct(12)
    report = train(world, **QUICK, replay_captions=2)
    folder = world.runs / report["run"]
    replayed, agreed = read_rows(folder / "replay.jsonl"), read_rows(folder / "agreed.jsonl")
    assert [row["key"] for row in agreed] == [row["key"] for row in replayed if len(row["captions"]) >= 3] != []
    assert {len(row["captions"]) for row in agreed} == {2} and report["agreed"] == len(agreed)


def test_or_by_all_that_people_wrote(world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agreement, "FEWEST", 2)
    studio.correct(12)
    report = train(world, **QUICK, replay_captions=0)
    assert report["agreed"] == 0 and not read_rows(world.runs / report["run"] / "agreed.jsonl")


def test_the_report_fits_on_a_screen(done: Done) -> None:
    said = text(done.report, done.folder)
    assert said.startswith(f"PROMOTED {done.report['challenger']}\nBetter: BLEU-4 ") and len(said.splitlines()) < 15
    for part in ("held out", "not learnt before, among 12 to replay", "BLEU-4 0.00 -> ", "(decides)", str(done.folder)):
        assert part in said


def test_a_rejected_challenger_stays_in_its_folder_and_takes_little_room(world: World, studio: StandIn) -> None:
    studio.correct(12)
    studio.add(50, b"torn", ["a torn square"])
    report = train(world, **QUICK)
    assert report["event"] == "rejection" and world.events() == ["rejection"]
    assert "has 12 photos, and 1000 are needed" in report["reason"]
    assert report["serves"] == world.champion and world.store.own_champion(str(PROJECT)) is None
    folder = Path(report["challenger_folder"])
    assert checkpoints.load(folder).version == report["challenger"] not in world.store.versions()
    assert (folder / "encoder.safetensors").samefile(world.store.folder(world.champion) / "encoder.safetensors")
    said = text(report, world.runs / report["run"])
    assert said.startswith(f"KEPT {world.champion}\nNot enough evidence: ")
    assert "1 not decoded" in said and str(folder) in said


def test_the_next_training_goes_on_from_the_promoted_version(world: World, studio: StandIn) -> None:
    studio.correct(16)
    first = train(world)
    studio.correct(4, first=30)
    second = train(world, finetune_learning_rate=1e-6)
    assert second["champion"] == first["challenger"] and second["event"] == "rejection"
    learnt = [report["corrections"]["learnt"] for report in (first, second)]
    assert (first["lessons"], second["lessons"]) == (learnt[0], learnt[1] - learnt[0]) and learnt[1] > learnt[0]
    replayed = {row["key"] for row in read_rows(world.runs / second["run"] / "replay.jsonl")}
    earlier = {row["key"] for row in read_rows(world.runs / first["run"] / "corrections.jsonl") if not row["held_out"]}
    assert replayed & earlier, "corrections learnt before are kept up"
    assert len(studio.fetched) == 20, "an upload is fetched once"


def test_nothing_to_learn_is_recorded_with_its_watermark(world: World, studio: StandIn) -> None:
    studio.correct(3, origin="prediction")
    report = train(world)
    assert report["event"] == "nothing-to-learn" and world.events() == ["nothing-to-learn"]
    [line] = world.store.history(str(PROJECT))
    assert line["watermark"] and line["corrections"]["accepted"] == 3 and line["version"] == world.champion
    assert progress(world)["stage"] == "done"


def test_accepted_drafts_are_learnt_from_when_asked_for(world: World, studio: StandIn) -> None:
    studio.correct(12, origin="prediction")
    report = train(world, Wishes(accepted=True), **QUICK)
    assert report["event"] == "rejection" and report["corrections"]["learnt"] > 0


def test_without_base_data_the_held_out_photos_decide_and_it_is_said(world: World, studio: StandIn) -> None:
    studio.correct(16)
    world.values["base_dataset"] = None
    report = train(world)
    assert report["gate"]["decides"] == "domain" and "benchmark" not in report["gate"] and report["replayed"] == 0
    assert any(note.startswith("GATE=benchmark needs BASE_DATASET") for note in report["notes"])
    assert ALONE in report["notes"]
    made = json.loads((world.runs / report["run"] / "finetune.json").read_text())["settings"]
    assert (made["learning_rate"], made["interpolation"]) == (0.01, 0.5)


def test_new_words_join_the_vocabulary_and_are_named(world: World, studio: StandIn) -> None:
    studio.correct(12)
    for number in range(30, 40):
        studio.add(number, encoded(drawn("red", "left", seed=number)), [f"a zebra number {number}"])
    report = train(world, grow_vocabulary=3)
    assert set(report["grown"]) == {"zebra", "number"}
    folder = world.store.folder(report["challenger"])
    assert {"zebra", "number"} <= set(checkpoints.load(folder).vocabulary.words)
    assert checkpoints.read_json(folder / "manifest.json")["grown"] == report["grown"]


def test_the_encoder_learns_too_if_asked_to(world: World, studio: StandIn) -> None:
    studio.correct(8)
    report = train(world, finetune_encoder=True, **QUICK)
    files = [
        checkpoints.read_json(folder / "manifest.json")["files"]["encoder.safetensors"]["sha256"]
        for folder in (Path(report["challenger_folder"]), world.store.folder(world.champion))
    ]
    assert files[0] != files[1]


def test_a_challenger_of_no_numbers_is_turned_down(
    world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(8)
    run = FineTune.run

    def burnt(tune: FineTune) -> Checkpoint:
        challenger = run(tune)
        with torch.no_grad():
            challenger.decoder.bias[5] = float("nan")
        return challenger

    monkeypatch.setattr(FineTune, "run", burnt)
    report = train(world)
    assert report["event"] == "rejection" and "some of its weights are no numbers" in report["reason"]


def test_a_lost_race_is_refused_and_the_winner_serves(
    world: World, studio: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(16)
    other = world.store.publish(tiny_checkpoint(tmp_path / "other", 5))
    publish = Store.publish

    def beaten(store: Store, checkpoint: Path) -> str:
        store.promote(other, str(PROJECT), expect_epoch=None, by="a person", reason="by hand")
        return publish(store, checkpoint)

    monkeypatch.setattr(Store, "publish", beaten)
    report = train(world)
    assert report["event"] == "refused" and report["serves"] == other
    assert world.events() == ["promotion", "refused"] and Path(report["challenger_folder"]).is_dir()


def test_an_unfinished_run_is_superseded_when_the_champion_changes(
    world: World, studio: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(run_module, "finetune", interrupted)
        train(world)
    [unfinished] = [path for path in world.runs.iterdir() if path.is_dir()]
    other = world.store.publish(tiny_checkpoint(tmp_path / "other", 5))
    world.store.promote(other, expect_epoch=1, by="a person", reason="by hand")
    report = train(world, **QUICK)
    assert report["champion"] == other and report["run"] != unfinished.name
    closed = json.loads((unfinished / "report.json").read_text())
    assert closed["event"] == "superseded" and f"the champion is {other} now" in closed["reason"]


def interrupted(*arguments: object) -> Path:
    raise KeyboardInterrupt


def failing(error: Exception) -> Callable[..., Path]:
    def fail(*arguments: object) -> Path:
        raise error

    return fail


def test_a_failure_is_recorded_and_the_third_closes_the_run(
    world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(8)
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finetune", failing(KeyError("https://host/?signature=secret")))
        for _ in range(3):
            with pytest.raises(KeyError):
                train(world)
    lines = world.store.history(str(PROJECT))
    assert [line["event"] for line in lines] == ["failure"] * 3 and len({line["run"] for line in lines}) == 1
    assert lines[0]["reason"] == "Failed in finetune: KeyError; the log of this training has the details."
    assert progress(world)["event"] == "failure"
    report = train(world, **QUICK)
    assert report["run"] != lines[0]["run"] and report["event"] == "rejection"


def test_out_of_memory_is_recorded_and_the_run_goes_on_with_a_smaller_batch(
    world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(8)
    world.values |= QUICK
    error = torch.OutOfMemoryError("CUDA out of memory")
    with monkeypatch.context() as patch:
        patch.setattr(run_module, "finetune", failing(error))
        for _ in range(4):
            with pytest.raises(torch.OutOfMemoryError):
                train(world)
    reason = world.store.history(str(PROJECT))[0]["reason"]
    assert reason == "Out of memory in finetune, with 4 photos a step (FINETUNE_BATCH)."
    report = train(world, Wishes(batch=3))
    assert report["run"] == world.store.history(str(PROJECT))[0]["run"]
    assert json.loads((world.runs / report["run"] / "finetune.json").read_text())["settings"]["batch"] == 3


def test_a_batch_that_is_halved_half_way_begins_the_fine_tuning_anew(
    world: World, studio: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.correct(8)
    world.values |= QUICK | {"finetune_epochs": 2}
    stepped = FineTune.stepped

    def burst(tune: FineTune, loss: float) -> None:
        stepped(tune, loss)
        if tune.position.epoch == 1:
            raise MemoryError

    with monkeypatch.context() as patch, pytest.raises(MemoryError):
        patch.setattr(FineTune, "stepped", burst)
        train(world)
    [failure] = world.store.history(str(PROJECT))
    assert (world.runs / failure["run"] / "finetune" / "state.pt").exists()
    report = train(world, Wishes(batch=2))
    assert report["run"] == failure["run"] and report["event"] == "rejection"
    settings = json.loads((world.runs / report["run"] / "finetune" / "settings.json").read_text())
    assert settings["batch"] == 2


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"label_studio_url": None}, SettingsError, "LABEL_STUDIO_URL not set"),
        ({"label_studio_api_key": None}, SettingsError, "LABEL_STUDIO_API_KEY not set"),
        ({"base_dataset": "flickr8k:nowhere"}, DatasetError, "no folder at nowhere"),
        ({"label_studio_url": "http://127.0.0.1:9"}, LabelStudioError, "cannot be reached"),
    ],
)
def test_what_the_user_can_mend_is_said(
    world: World, studio: StandIn, changes: dict[str, Any], error: type[Exception], says: str
) -> None:
    world.values = {name: value for name, value in (world.values | changes).items() if value is not None}
    with pytest.raises(error, match=says):
        train(world)


def test_pictures_that_cannot_be_had_are_an_error_only_if_none_can(world: World, studio: StandIn) -> None:
    studio.correct(9)
    del studio.uploads[f"/data/upload/{PROJECT}/3.png"]
    report = train(world, **QUICK)
    assert report["corrections"]["failed_pictures"] == {"not fetched": 1}
    studio.uploads.clear()
    world.values["data_dir"] = world.folder / "other"
    with pytest.raises(GatherError, match="none of the 9 pictures"):
        train(world)
    assert world.events()[-1] == "failure"


def test_an_empty_store_begins_with_the_checkpoint_that_ships(world: World, studio: StandIn) -> None:
    report = train(world, model_dir=world.folder / "new")
    assert report["event"] == "nothing-to-learn"
    champion = Store(world.folder / "new").champion()
    assert champion is not None and champion.version == report["champion"] and champion.by == "train"


def test_a_second_training_of_the_project_is_turned_away(world: World) -> None:
    with alone(world.runs, PROJECT), pytest.raises(Busy, match="a training of project 7 is at work already"):
        train(world)
