"""Child processes that never outlive the command that started them.

Each child leads a process group of its own, so that Ctrl-C in a terminal reaches the command alone, which then stops
its children in order. On Linux the kernel ends them too if the command itself is killed.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.local.errors import LocalError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOG_TAIL_LINES = 12

# Loaded here because a process may do very little between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


@dataclass(frozen=True)
class Child:
    """One running program and the file its output goes to."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def tail(self) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])


class Processes:
    """The programs started together; leaving the `with` block stops them all, the last one first.

    log_folder receives one log per program; grace_s is how long each may take to end in order before it is killed.
    """

    def __init__(self, log_folder: Path, *, grace_s: float = 15.0) -> None:
        self._log_folder = log_folder
        self._grace_s = grace_s
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, command: Sequence[str], *, environment: Mapping[str, str], cwd: Path) -> Child:
        """Start a program with exactly this environment; its output goes to `name`.log."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log = self._log_folder / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def check(self) -> None:
        """Raise LocalError if one of the programs has ended."""
        for child in self._children:
            code = child.process.poll()
            if code is not None:
                raise LocalError(
                    f"{child.name} ended by itself (exit code {code}). The end of its log, {child.log}:\n{child.tail()}"
                )

    def stop(self) -> None:
        """End every program: first asked, then, after the grace period, killed with all that it started."""
        for child in reversed(self._children):
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + self._grace_s
        for child in reversed(self._children):
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            # What the program itself started may still be there when it has ended.
            _signal_group(child, signal.SIGKILL)
            child.process.wait()
        self._children.clear()


def _signal_group(child: Child, number: signal.Signals) -> None:
    # A group without members is gone: that is what was wanted.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.process.pid, number)
