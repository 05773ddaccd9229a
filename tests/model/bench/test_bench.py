"""The bench itself, on a tiny checkpoint: processes of their own, pinned; every part in one table; plain errors."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from model.__main__ import app
from model.bench import engines, measure
from model.bench.blip import BenchError
from model.bench.measure import cases, enough, specs
from model.bench.pictures import SOURCES, jpegs, photos
from model.bench.process import Subject, pinned
from model.bench.report import core_sets
from model.bench.subjects import BLIP, ENGINE, FLOOR, KINDS, NAIVE, Spec, build
from model.bench.worker import Sample
from model.engines import opening
from model.engines.engine import ONNXRUNTIME, TORCH, EngineError


def test_pictures_are_as_many_as_wanted_and_no_two_alike() -> None:
    some = photos(2 * len(SOURCES) + 1)
    assert {photo.shape for photo in some} == {(224, 224, 3)}
    assert len({photo.tobytes() for photo in some}) == len(some)
    assert len({*jpegs(6, seed=1), *jpegs(6, seed=2)}) == 12
    assert jpegs(2, seed=1) == jpegs(2, seed=1)


def test_a_subject_has_a_process_of_its_own_that_keeps_to_its_cores(checkpoint: Path) -> None:
    core = core_sets()[0]
    with Subject(Spec(ENGINE, str(checkpoint), core, TORCH)) as subject:
        status = Path(f"/proc/{subject.pid}/status").read_text()
        few, many = subject.run(3, 1), subject.run(3, 8)
    assert f"Cpus_allowed_list:\t{core[0]}\n" in status
    assert few.steps is not None and many.seconds > 0 and many.peak_mb >= many.rss_mb > 50
    assert "OMP_NUM_THREADS=2" in pinned(2, "-c", "")


def test_a_subject_that_cannot_be_had_says_why(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"naive cannot be measured: .*manifest.json"):
        with Subject(Spec(NAIVE, str(tmp_path), core_sets()[0])):
            pass


def test_each_subject_says_how_long_its_captions_are(checkpoint: Path) -> None:
    steps = {kind: build(Spec(kind, str(checkpoint), (0,), TORCH))(3, 2) for kind in (ENGINE, NAIVE, FLOOR)}
    assert steps[FLOOR] is None and steps[NAIVE] and steps[ENGINE]
    with pytest.raises(BenchError, match="'rain' is no subject"):
        build(Spec("rain", str(checkpoint), (0,)))


def test_engines_are_converted_once_for_all_and_a_wrong_one_says_why(checkpoint: Path, tmp_path: Path) -> None:
    here = engines.prepare(checkpoint, tmp_path / "entries")
    assert here[-1] == TORCH
    if ONNXRUNTIME in here:
        kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "entries").rglob("*")}
        assert engines.load(checkpoint, ONNXRUNTIME, 1, tmp_path / "entries").engine.name == ONNXRUNTIME
        assert kept and {path: path.stat().st_mtime_ns for path in (tmp_path / "entries").rglob("*")} == kept
    assert engines.load(checkpoint, TORCH, 1, tmp_path / "entries").engine.name == TORCH


def test_an_engine_that_falls_back_is_not_measured_as_if_it_were_there(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*given: object) -> None:
        raise EngineError("no int8 today")

    monkeypatch.setattr(opening, "on_int8", refuses)
    assert engines.prepare(checkpoint, tmp_path) == [TORCH]
    with pytest.raises(BenchError, match="'onnxruntime' cannot be had: onnxruntime: no int8 today"):
        engines.load(checkpoint, ONNXRUNTIME, 1, tmp_path)


def test_ours_is_run_in_every_shape_and_the_others_as_they_work() -> None:
    found = cases(specs("folder", "entries", [(0,), (0, 1)], ["fast", "slow"]), [1, 3], [1, 4, 64])
    shapes = {kind: [(one.beam, one.batch) for one in found if one.spec.kind == kind] for kind in KINDS}
    assert len(shapes[ENGINE]) == 2 * 2 * 2 * 3
    assert shapes[FLOOR] == [(0, 1), (0, 4), (0, 64)] * 2
    assert shapes[BLIP] == [(3, 1)] * 2
    assert {one.spec.engine for one in found if one.spec.kind == FLOOR} == {"fast"}
    assert shapes[NAIVE] == [(1, 1), (3, 1)] * 2


def test_what_takes_long_is_run_thrice_and_no_more() -> None:
    slow, fast = Sample(20.0, 20.0, None, 1.0, 1.0), Sample(1.0, 1.0, None, 1.0, 1.0)
    assert not enough([slow, slow]) and enough([slow, slow, slow])
    assert not enough([fast] * 7)


def test_rounds_are_taken_in_turn_and_the_first_is_thrown_away(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    run = Subject.run

    def noted(self: Subject, beam: int, batch: int) -> Sample:
        asked.append((self.spec.kind, batch))
        return run(self, beam, batch)

    monkeypatch.setattr(Subject, "run", noted)
    subjects = specs(str(checkpoint), "", core_sets()[:1], [TORCH])
    planned = cases([one for one in subjects if one.kind in (ENGINE, FLOOR)], [3], [1, 2])
    found = measure.measure(planned, rounds=2, words=5)
    assert asked == [(ENGINE, 1), (ENGINE, 2), (FLOOR, 1), (FLOOR, 2)] * 3
    assert [len(samples) for samples in found.values()] == [2] * len(planned)


def test_the_command_writes_one_table_and_all_of_it_as_json(checkpoint: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    small = "--rounds 1 --beam 3 --batch 1 --batch 4 --tasks 4 --without blip --without floor --without naive".split()
    files = ["--json", str(out), "--plot", str(tmp_path / "bench.png")]
    done = CliRunner().invoke(app, ["bench", "--checkpoint", str(checkpoint), *files, *small])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    found = json.loads(out.read_text())
    assert {row["subject"] for row in found["rows"]} == {ENGINE}
    assert {row["cores"] for row in found["rows"]} == {len(some) for some in core_sets()}
    assert set(found["ratios"]) == {"naive_over_ours", "ours_over_floor", "blip_over_ours", "two_cores_over_one"}
    assert [found["ratios"][name] for name in ("naive_over_ours", "ours_over_floor", "blip_over_ours")] == [None] * 3
    assert (found["server"] is None) == (len(core_sets()) == 1) == (found["ratios"]["two_cores_over_one"] is None)
    assert done.stdout.count("| ours, ") == len([row for row in found["rows"] if row["subject"] == ENGINE])


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--engine", "steam"], "engine 'steam' cannot run here; accepted are "),
        (["--without", "rain"], "rain: accepted are floor, naive, blip, server"),
        (["--checkpoint", "nowhere"], "nowhere"),
    ],
)
def test_a_wrong_option_is_refused_with_a_reason(options: list[str], reason: str) -> None:
    done = CliRunner().invoke(app, ["bench", *options])
    assert done.exit_code == 2
    assert reason in " ".join(done.output.replace("│", " ").split())
