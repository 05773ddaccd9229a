"""`docs/proof.json`: every figure under its key, and beside them how, where and when each was measured."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "proof.json"
# What each figure must keep to: (at most or at least, the limit).
LIMITS: dict[str, tuple[str, float]] = {
    "swap_failed": ("at most", 0),
    "swap_p99_ratio": ("at most", 1.2),
    "pointer_to_serving_s": ("at most", 2),
    "webhook_p99_ms": ("at most", 20),
    "decision_200_corrections_s": ("at most", 300),
    "null_promoted_percent": ("at most", 5),
    "curve_bleu4_percent_of_scratch": ("at least", 95),
    "shift_effort_reduction_percent": ("at least", 20),
    "shift_old_kind_bleu4_loss": ("at most", 0.3),
    "kill_losses": ("at most", 0),
    "soak_errors": ("at most", 0),
    "soak_memory_growth_percent": ("at most", 5),
    "bulk_1000_photos_s": ("at most", 60),
    "start_to_ready_s": ("at most", 5),
    "serving_rss_mb": ("at most", 800),
    "training_throughput_ratio": ("at least", 4),
}


def read(path: Path = RESULTS) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def keep(proof: str, figures: Mapping[str, float], details: Mapping[str, Any], path: Path | None = None) -> None:
    """Put figures under their keys and the details under the proof's name; what other proofs found stays."""
    unknown = set(figures) - set(LIMITS)
    if unknown:
        raise ValueError(f"{sorted(unknown)} are no figures of LIMITS")
    measured = {
        "command": f"python -m proof {proof}",
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
    }
    path = path or RESULTS
    found = read(path) | {key: round(value, 4) for key, value in figures.items()}
    found["details"] = found.get("details", {}) | {proof: measured | dict(details)}
    ordered = {key: found[key] for key in LIMITS if key in found} | {"details": found["details"]}
    path.write_text(json.dumps(ordered, indent=1) + "\n", encoding="utf-8")
    for key, value in figures.items():
        print(f"{key}: {value:.4g} ({' '.join(map(str, LIMITS[key]))}): {'kept' if kept(key, value) else 'MISSED'}")


def kept(key: str, value: float) -> bool:
    way, limit = LIMITS[key]
    return value <= limit if way == "at most" else value >= limit


def machine() -> str:
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}"
