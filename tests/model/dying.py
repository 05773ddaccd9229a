"""Store operations that die on the way: `python -m tests.model.dying OPERATION TEMPLATE FOLDER CHECKPOINT`.

For K = 1, 2, 3... the store in TEMPLATE is copied to FOLDER/K, where a child begins the operation and kills itself just
before its K-th change to a file or a folder; until there is a K that the operation does not have. The last line printed
is that K: FOLDER/K is the store after an operation that lived.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path

from model.store import Store

# Audit events, which Python raises just before it asks the kernel. `os.fsync` and `os.sendfile` (half a file) have none
# of their own: strike() adds them.
CHANGES = {
    "fcntl.flock", "open", "os.fsync", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.sendfile",
    "os.truncate", "shutil.copyfile", "shutil.rmtree",
}  # fmt: skip
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHUNK = 16 * 1024
BY = "the one that dies"


def operate(operation: str, store: Store, checkpoint: Path) -> None:
    """The operations, as the tests call them again after the death."""
    if operation == "publish":
        store.publish(checkpoint)
    elif operation == "promote":
        own = store.own_champion("7")
        assert own is not None and own.previous is not None
        store.promote(own.previous, "7", expect_epoch=own.epoch, by=BY, reason="better", figures={"bleu4": 23.5})
    elif operation == "rollback":
        store.rollback("7", by=BY, reason="worse captions")
    else:
        store.take_fence("7")


def strike(step: int, number: signal.Signals, changes: set[str] = CHANGES) -> None:
    """Send this process a signal just before its `step`-th change."""
    left = step
    fsync, sendfile = os.fsync, os.sendfile

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal left
        reads = event == "open" and isinstance(arguments[2], int) and not arguments[2] & WRITES
        if event in changes and not reads:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), number)

    def audited_fsync(descriptor: int) -> None:
        sys.audit("os.fsync", descriptor)
        fsync(descriptor)

    def audited_sendfile(to: int, source: int, offset: int, size: int) -> int:
        sys.audit("os.sendfile", to)
        return sendfile(to, source, offset, min(size, CHUNK))

    for name, function in {"fsync": audited_fsync, "sendfile": audited_sendfile}.items():
        setattr(os, name, function)
    sys.addaudithook(count)


def dies(work: Callable[[], None], step: int) -> bool:
    """Whether a child that does `work` comes to its `step`-th change, which kills it."""
    child = os.fork()
    if child == 0:
        strike(step, signal.SIGKILL)
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    if status != 0 and os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"the operation failed at step {step}: status {status}")
    return status != 0


def main(operation: str, template: Path, folder: Path, checkpoint: Path) -> None:
    if operation == "publish":
        import_module("model.publish")  # once, with all of torch, and not in every child
    step, died = 0, True
    while died:
        step += 1
        store = Store(shutil.copytree(template, folder / str(step)))
        died = dies(partial(operate, operation, store, checkpoint), step)
    print(step)


if __name__ == "__main__":
    main(sys.argv[1], *(Path(argument) for argument in sys.argv[2:]))
