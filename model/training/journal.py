"""What a run leaves to read: `metrics.jsonl`, one line an event, and `curve.png`, drawn from it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any


class Journal:
    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        """A silent one writes nothing: of several processes one tells."""
        self.folder, self.silent = folder, silent
        self.path = folder / "metrics.jsonl"

    def write(self, event: str, **figures: Any) -> None:
        if self.silent:
            return
        line = {"event": event, "time": round(time.time(), 1)} | figures
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that a resumed run will take again."""
        if self.silent:
            return
        kept = [line for line in self.read() if line.get("step", 0) <= step]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def read(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines() if line]

    def plot(self) -> Path:
        """Draw loss and validation BLEU-4 over steps."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # slow to import, needed once an epoch
        from matplotlib.figure import Figure

        lines = self.read()
        steps = [line for line in lines if line["event"] == "step"]
        epochs = [line for line in lines if line["event"] == "epoch"]
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        loss = figure.subplots()
        loss.plot([s["step"] for s in steps], [s["loss"] for s in steps], color="tab:grey", linewidth=0.8)
        loss.set(xlabel="step", ylabel="training loss (nats a word)")
        bleu = loss.twinx()
        bleu.plot([e["step"] for e in epochs], [e["bleu4"] for e in epochs], color="tab:blue", marker="o")
        bleu.set_ylabel("validation BLEU-4", color="tab:blue")
        path = self.folder / "curve.png"
        figure.savefig(path, dpi=110)
        return path
