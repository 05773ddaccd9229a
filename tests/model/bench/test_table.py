"""Medians, ratios and the table, from samples whose answers are known."""

from __future__ import annotations

import json

import pytest

from model.bench.measure import Case, Samples
from model.bench.report import sentences
from model.bench.subjects import BLIP, ENGINE, FLOOR, NAIVE, Spec
from model.bench.table import NAMES, Row, best_batch, markdown, ratios, rows
from model.bench.worker import Sample
from tests.house.project import ROOT


def samples_of(kind: str, engine: str, *, cores: int = 1, beam: int = 3, batch: int = 1, seconds: float) -> Samples:
    """Three runs with the median at `seconds`."""
    case = Case(Spec(kind, "folder", tuple(range(cores)), engine), beam, batch)
    runs = [Sample(seconds * factor, seconds, 10.0, 500.0, 600.0) for factor in (0.9, 1.0, 5.0)]
    return {case: runs}


SAMPLES: Samples = {
    **samples_of(ENGINE, "fast", seconds=0.04),
    **samples_of(ENGINE, "fast", batch=16, seconds=0.40),
    **samples_of(ENGINE, "fast", batch=64, seconds=2.00),
    **samples_of(ENGINE, "fast", cores=2, seconds=0.03),
    **samples_of(ENGINE, "slow", seconds=0.20),
    **samples_of(FLOOR, "fast", beam=0, seconds=0.03),
    **samples_of(NAIVE, "", seconds=0.80),
    **samples_of(BLIP, "", seconds=2.00),
}


def test_a_row_is_the_median_for_each_photo() -> None:
    found = {(row.engine, row.cores, row.batch): row for row in rows(SAMPLES) if row.subject == ENGINE}
    row = found["fast", 1, 16]
    assert (row.request_ms, row.photo_ms, row.photos_per_s) == pytest.approx((400.0, 25.0, 40.0))
    assert (row.core_ms, row.rss_mb, row.peak_mb, row.runs) == (25.0, 500.0, 600.0, 3)


def test_the_ratios_are_those_of_one_photo_on_one_core() -> None:
    found = rows(SAMPLES)
    assert best_batch(found, "fast") == 16
    server = {"photos_per_s": 60.0, "one_core_photos_per_s": 40.0}
    assert ratios(found, "fast", server) == {
        "naive_over_ours": pytest.approx(20.0),
        "ours_over_floor": pytest.approx(4 / 3),
        "blip_over_ours": pytest.approx(50.0),
        "two_cores_over_one": pytest.approx(0.75),
    }
    assert ratios(found, "slow", None) == {
        "naive_over_ours": pytest.approx(4.0),
        "ours_over_floor": None,
        "blip_over_ours": pytest.approx(10.0),
        "two_cores_over_one": None,
    }


def test_the_table_has_a_line_a_case_the_default_engine_first() -> None:
    lines = markdown(rows(SAMPLES), "fast").splitlines()
    assert len(lines) == 2 + len(SAMPLES)
    assert lines[2] == "| ours, fast | 1 | 3 | 1 | 40.0 | 25.0 | 500 |"
    assert lines[-1] == "| BLIP-base | 1 | 3 | 1 | 2000.0 | 0.5 | 500 |"
    assert {line.count("|") for line in lines} == {8}


def test_the_document_has_the_rows_and_ratios_that_were_measured() -> None:
    measured = json.loads((ROOT / "docs/bench.json").read_text())
    table = markdown([Row(**row) for row in measured["rows"]], measured["default_engine"]).splitlines()
    said = (ROOT / "docs/speed.md").read_text()
    shown = [line for line in said.splitlines() if line.startswith(tuple(f"| {name}" for name in NAMES.values()))]
    assert len(shown) >= 10 and set(shown) <= set(table)
    for sentence in sentences(measured["ratios"], measured["server"]):
        assert sentence in said.replace("\n", " ")
