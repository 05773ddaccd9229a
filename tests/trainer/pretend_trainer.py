"""A trainer for tests of the queue: it counts steps instead of training. Run as a program.

    python -m tests.trainer.pretend_trainer FOLDER --project 7 --job [--batch 16]

FOLDER/plan.json says what it does: {"steps", "step_s", "starts": [...], "deaf"}. `starts` is how each start ends, the
last one for all that follow: "done", "killed", an exit code. Like the real one it goes on where it was stopped, exits
with 75 after SIGTERM, replaces progress.json and leaves a watermark in the history: the number in FOLDER/truth when it
began. FOLDER/log.jsonl is for the test to read.
"""

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

STOPPED = 75


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--project", type=int)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--job", action="store_true")
    given = parser.parse_args()
    folder, model_dir = given.folder, Path(os.environ["MODEL_DIR"])
    plan = json.loads((folder / "plan.json").read_text())
    if not plan.get("deaf"):
        signal.signal(signal.SIGTERM, lambda number, frame: stopped.append(number))
    else:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    stopped: list[int] = []
    starts = len([line for line in read_log(folder) if line["event"] == "start"])
    checkpoint = folder / f"checkpoint-{given.project}"
    step = int(checkpoint.read_text()) if checkpoint.exists() else 0

    def note(event: str) -> None:
        line = {"event": event, "pid": os.getpid(), "project": given.project, "batch": given.batch, "step": step}
        with (folder / "log.jsonl").open("a") as log:
            log.write(json.dumps(line | {"job": given.job, "at": time.time()}) + "\n")

    truth = folder / "truth"
    watermark = truth.read_text() if truth.exists() else "0"
    note("start")
    ends = plan.get("starts", ["done"])
    end = ends[min(starts, len(ends) - 1)]
    if end == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    if end != "done":
        sys.exit(end)
    while step < plan["steps"]:
        step += 1
        progress(model_dir / "runs" / str(given.project), {"run": "one", "stage": "finetune", "step": step})
        time.sleep(plan["step_s"])
        if stopped:
            checkpoint.write_text(str(step))
            note("stopped")
            sys.exit(STOPPED)
    checkpoint.unlink(missing_ok=True)
    with (model_dir / "history.jsonl").open("a") as history:
        decision: dict[str, Any] = {
            "event": "rejection",
            "project": str(given.project),
            "watermark": watermark,
            "recent": {},
        }
        history.write(json.dumps(decision) + "\n")
    note("done")


def progress(folder: Path, content: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "progress.draft").write_text(json.dumps(content))
    os.replace(folder / "progress.draft", folder / "progress.json")


def read_log(folder: Path) -> list[dict[str, Any]]:
    path = folder / "log.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


if __name__ == "__main__":
    main()
