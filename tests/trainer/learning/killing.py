"""The real command, killed with SIGKILL at an exact place: `python -m tests.trainer.learning.killing`.

Importing torch takes longer than a training of squares. So this process imports everything and computes nothing; for
each line that it reads it forks, and the child runs `python -m trainer train` until the kill, or until it ends. It
answers with the child's process number, then with its exit code.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch._dynamo  # what the optimizer would import in every child

from trainer.__main__ import app

# Where to kill: module, name (of a function, or of a class and its method), and after which call of it.
PLACES = {
    "while pictures come": ("trainer.learning.pictures", "append_row", 5),
    "when all is gathered": ("trainer.learning.gather", "write_json", 1),
    "with features": ("trainer.learning.tune", "mixture", 1),
    "in a step": ("model.training.finetune", "FineTune.stepped", 5),
    "after an epoch": ("model.training.finetune", "FineTune.end_epoch", 2),
    "with the challenger's weights": ("model.checkpoint", "save", 1),
    "when the challenger is made": ("trainer.learning.tune", "write_json", 1),
    "after the first captions": ("trainer.learning.evidence", "write_json", 1),
    "with the verdict": ("trainer.learning.run", "write_json", 1),
    "between pointer and history": ("model.pointers", "replace", 2),
    "when it is promoted": ("model.store", "Store.promote", 1),
}


def kill_at(module: str, name: str, call: int) -> None:
    holder: Any = importlib.import_module(module)
    *path, last = name.split(".")
    for part in path:
        holder = getattr(holder, part)
    setattr(holder, last, dying(getattr(holder, last), call))


def dying(function: Callable[..., Any], call: int) -> Callable[..., Any]:
    calls = 0

    def wrapped(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        result = function(*arguments, **options)
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    return wrapped


def child(place: str | None, environment: dict[str, str], project: str) -> None:
    os.environ.update(environment)
    torch.set_num_threads(1)
    if place is not None:
        kill_at(*PLACES[place])
    app(["train", "--project", project], prog_name="python -m trainer")


def main() -> None:
    importlib.import_module("trainer.learning.run")
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            child(asked["place"], asked["environment"], asked["project"])
            os._exit(1)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
