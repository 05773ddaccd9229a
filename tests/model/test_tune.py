"""Real studies of the real command on drawn squares and a small network."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState, create_trial
from typer.testing import CliRunner, Result

from model.__main__ import app
from model.training.settings import TrainingSettings
from model.tuning.space import NAMES, command, parse, suggest
from model.tuning.study import Plan, Tuning, alone
from tests.checkpoints import squares_checkpoint
from tests.photos import flickr8k_folder

ROOT = Path(__file__).parents[2]
SMALL = ("--search", "learning-rate,batch", "--epochs", "3", "--threads", "1", "--validation-beam", "1")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return flickr8k_folder(tmp_path_factory.mktemp("data") / "squares", train=48, dev=8)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return squares_checkpoint(tmp_path_factory.mktemp("start") / "c", 8, embedding=32, hidden=48, dropout=0.1)


def arguments(data: Path, start: Path, study: Path, *options: str) -> list[str]:
    fixed = ["--dataset", f"flickr8k:{data}", "--start", str(start), "--study", str(study)]
    return ["tune", *fixed, "--cache", str(data.parent / "cache"), *SMALL, *options]


def tune(data: Path, start: Path, study: Path, *options: str) -> Result:
    return CliRunner().invoke(app, arguments(data, start, study, *options))


def opened(study: Path) -> optuna.Study:
    return optuna.load_study(study_name="recaption", storage=f"sqlite:///{study / 'study.db'}")


@pytest.fixture(scope="module")
def finished(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    study = tmp_path_factory.mktemp("studies") / "one"
    done = tune(data, start, study, "--trials", "3")
    assert done.exit_code == 0, done.output
    return study, done


def test_a_study_takes_its_trials_and_begins_with_the_defaults(finished: tuple[Path, Result]) -> None:
    study, done = finished
    trials = opened(study).trials
    plain = TrainingSettings(dataset="")
    assert len(trials) == 3 and {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.PRUNED}
    assert trials[0].params == {"learning_rate": plain.learning_rate, "batch": plain.batch}
    assert trials[1].params != trials[0].params
    assert "[####################] 3/3" in done.stdout and "left" in done.stdout
    assert (study / "study.png").read_bytes().startswith(b"\x89PNG")


def test_a_trial_is_the_training_run_of_its_settings(finished: tuple[Path, Result]) -> None:
    study, _ = finished
    for trial in opened(study).trials:
        folder = study / f"trial-{trial.number:04d}"
        settings = json.loads((folder / "settings.json").read_text())
        assert settings["batch"] == trial.params["batch"] and settings["seed"] == 1
        assert settings["learning_rate"] == pytest.approx(trial.params["learning_rate"], rel=0.01)
        lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        figures = {line["epoch"]: line["bleu4"] for line in lines if line["event"] == "epoch"}
        assert trial.intermediate_values == figures and trial.value == max(figures.values())


def test_only_the_best_trial_keeps_a_checkpoint(finished: tuple[Path, Result]) -> None:
    study, _ = finished
    kept = sorted(path.relative_to(study).parts[0] for path in study.glob("trial-*/best/manifest.json"))
    assert kept == [f"trial-{opened(study).best_trial.number:04d}"]
    assert not [*study.glob("*/state.pt"), *study.glob("*/last")]


def test_the_command_it_prints_trains_what_it_found(finished: tuple[Path, Result], data: Path) -> None:
    study, done = finished
    words = shlex.split(done.stdout.splitlines()[-1])
    assert words[:4] == ["python", "-m", "model", "train"]
    again = CliRunner().invoke(app, [*words[3:], "--threads", "1", "--cache", str(data.parent / "cache")])
    assert again.exit_code == 0, again.output
    best = opened(study).best_value
    assert f"with BLEU-4 {best:.2f}" in again.stdout and f"with BLEU-4 {best:.2f}" in done.stdout


def test_the_same_command_goes_on_and_another_plan_is_refused(
    finished: tuple[Path, Result], data: Path, start: Path
) -> None:
    study, _ = finished
    before = opened(study).trials
    assert tune(data, start, study, "--trials", "4").exit_code == 0
    after = opened(study).trials
    assert [trial.params for trial in after[:3]] == [trial.params for trial in before] and len(after) == 4
    assert after[3].params not in [trial.params for trial in before]
    refused = tune(data, start, study, "--trials", "4", "--photos", "8")
    assert refused.exit_code == 2 and "photos was 0, now 8" in refused.stderr and "another --study" in refused.stderr


ONE_TRIAL = ("--trials", "1", "--epochs", "8", "--search", "batch")


@pytest.fixture(scope="module")
def undisturbed(data: Path, start: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[int, float]:
    """The BLEU-4 after each epoch of a study of one trial that nothing disturbed."""
    study = tmp_path_factory.mktemp("studies") / "whole"
    done = tune(data, start, study, *ONE_TRIAL)
    assert done.exit_code == 0, done.output
    [trial] = opened(study).trials
    return trial.intermediate_values


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_trial_is_taken_up_again(
    data: Path, start: Path, undisturbed: dict[int, float], tmp_path: Path, how: signal.Signals
) -> None:
    """As if nothing had been: the trial's number, its settings and its BLEU-4 after each epoch."""
    study = tmp_path / "killed"
    journal = study / "trial-0000" / "metrics.jsonl"
    command = [sys.executable, "-m", "model", *arguments(data, start, study, *ONE_TRIAL)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 300
        while not journal.exists() or journal.read_text().count('"event": "epoch"') < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, how)
        output, _ = process.communicate(timeout=120)
    assert process.returncode == (os.EX_TEMPFAIL if how == signal.SIGINT else -signal.SIGKILL)
    assert ("the same command goes on" in output) is (how == signal.SIGINT)
    [left] = opened(study).trials
    assert left.state == TrialState.RUNNING and 0 < len(left.intermediate_values) < 8
    assert tune(data, start, study, *ONE_TRIAL).exit_code == 0
    [trial] = opened(study).trials
    assert trial.state == TrialState.COMPLETE and trial.intermediate_values == undisturbed


def test_a_trial_that_lags_behind_is_given_up(data: Path, start: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    settings = TrainingSettings(f"flickr8k:{data}", start=str(start), epochs=4, patience=4, validation_beam=1)
    said: list[str] = []
    tuning = Tuning(study, Plan(settings, ("dropout",)), data.parent / "cache", "cpu", said.append)
    distribution = optuna.distributions.FloatDistribution(0.1, 0.6)
    for _ in range(4):
        steps = {1: 99.0, 2: 99.0, 3: 99.0, 4: 99.0}
        tuning.study.add_trial(
            create_trial(
                params={"dropout": 0.3}, distributions={"dropout": distribution}, value=99.0, intermediate_values=steps
            )
        )
    tuning.go(5)
    [last] = [trial for trial in tuning.study.trials if trial.state == TrialState.PRUNED]
    assert len(last.intermediate_values) == 2 and "(given up)" in said[-1]
    assert not (study / f"trial-{last.number:04d}" / "best").exists()


def test_a_subset_of_photos_is_what_the_trials_train_on(data: Path, start: Path, tmp_path: Path) -> None:
    done = tune(data, start, tmp_path / "s", "--trials", "1", "--photos", "20", "--search", "batch", "--epochs", "2")
    assert done.exit_code == 0 and "the trials trained on 20 photos" in done.stdout
    lines = [json.loads(line) for line in (tmp_path / "s" / "trial-0000" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["event"] == "epoch"] == [1, 2]  # 20 photos in batches of 32


def test_two_processes_do_not_share_a_study(data: Path, start: Path, tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    with alone(tmp_path / "s"):
        refused = tune(data, start, tmp_path / "s", "--trials", "1")
    assert refused.exit_code == 2 and "another process works on the study" in refused.stderr


def test_what_to_search_is_named() -> None:
    assert parse("") == NAMES and parse("dropout, learning_rate") == ("learning-rate", "dropout")


def test_an_unknown_name_is_one_clear_line(data: Path, start: Path, tmp_path: Path) -> None:
    refused = tune(data, start, tmp_path / "s", "--search", "colour")
    assert refused.exit_code == 2 and "--search colour: accepted are learning-rate,optimizer," in refused.stderr


def test_no_study_is_begun_with_data_that_is_not_there(data: Path, start: Path, tmp_path: Path) -> None:
    refused = tune(data, start, tmp_path / "s", "--dataset", "flickr8k:/nowhere", "--trials", "1")
    assert refused.exit_code == 2 and "no folder at /nowhere" in refused.stderr and not (tmp_path / "s").exists()


def test_each_optimizer_has_rates_of_its_own_and_the_rest_stays() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    base = TrainingSettings("flickr8k:x", epochs=7)
    found = [suggest(study.ask(), base, NAMES) for _ in range(40)]
    rates = {kind: [s.learning_rate for s in found if s.optimizer == kind] for kind in ("adamw", "sgd")}
    assert 1e-4 <= min(rates["adamw"]) and max(rates["adamw"]) <= 5e-3
    assert 0.05 <= min(rates["sgd"]) and max(rates["sgd"]) <= 2
    assert {(s.epochs, s.clip, s.seed) for s in found} == {(7, 5.0, 1)}


def test_a_command_names_what_is_not_the_default() -> None:
    settings = TrainingSettings("flickr8k:x", learning_rate=0.002, optimizer="sgd")
    assert command(settings, "runs/x") == [
        *("python", "-m", "model", "train", "--dataset", "flickr8k:x", "--run", "runs/x"),
        *("--optimizer", "sgd", "--learning-rate", "0.002"),
    ]
