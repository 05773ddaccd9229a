"""docs/proof.json: what it keeps, and that what is committed there is complete and within its limits, or says not."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from proof.results import LIMITS, RESULTS, keep, kept, read


def test_figures_of_other_proofs_stay(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    keep("gate", {"null_promoted_percent": 2.5}, {"trials": 200}, path)
    keep("webhook", {"webhook_p99_ms": 4.12341}, {"webhooks": 1000}, path)
    found = read(path)
    assert (found["null_promoted_percent"], found["webhook_p99_ms"]) == (2.5, 4.1234)
    assert found["details"]["gate"]["trials"] == 200
    assert found["details"]["webhook"]["command"] == "python -m proof webhook"
    assert {"date", "machine"} <= set(found["details"]["gate"])


def test_a_figure_nobody_asked_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no figures of LIMITS"):
        keep("gate", {"null_promoted": 1}, {}, tmp_path / "proof.json")


@pytest.mark.parametrize(
    ("key", "value", "good"),
    [
        ("swap_failed", 0, True),
        ("swap_failed", 1, False),
        ("curve_bleu4_percent_of_scratch", 95, True),
        ("curve_bleu4_percent_of_scratch", 94.9, False),
    ],
)
def test_limits_are_the_required_ones(key: str, value: float, good: bool) -> None:
    assert kept(key, value) is good


def test_what_was_measured_says_how() -> None:
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    assert set(found) - {"details"} <= set(LIMITS)
    assert all(one["command"].startswith("python -m proof ") and one["date"] for one in found["details"].values())


def test_the_documents_give_the_figures_that_were_measured() -> None:
    """Each row of the tables in docs/: what it is, the limit, the figure, the key."""
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(RESULTS.parent.glob("*.md")))
    shown = {key: figure for figure, key in re.findall(r"^\| [^|]+ \| [^|]+ \| ([^|]+) \| `(\w+)` \|$", text, re.M)}
    assert set(found) - {"details"} <= set(shown) <= set(LIMITS)
    for key, figure in shown.items():
        assert figure == (f"{found[key]:.4g}" if key in found else "not measured yet"), key
