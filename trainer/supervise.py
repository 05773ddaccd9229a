"""Child processes that die with their parent, and forks that do.

On Linux the kernel sends the signal when the parent's thread ends, however it ends. Elsewhere a parent that is killed
leaves its children running; they see that their parent's number has changed.
"""

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from functools import partial
from types import TracebackType
from typing import Self

log = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # linux/prctl.h
ENDINGS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 0.05

# Loaded here because a process may do very little between fork and exec.
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


def die_with_parent(number: signal.Signals, parent: int) -> None:
    """Have this process sent `number` when its parent ends; end it now if `parent` is not its parent any more."""
    if _LIBC is not None:
        _LIBC.prctl(PR_SET_PDEATHSIG, int(number))
    if os.getppid() != parent:
        os._exit(1)


def bind_forks() -> None:
    """From now on, whatever this process forks is killed when it ends: RQ's work horse."""
    if _LIBC is not None:
        os.register_at_fork(after_in_child=partial(_LIBC.prctl, PR_SET_PDEATHSIG, int(signal.SIGKILL)))


def _begin(parent: int, mask: set[int | signal.Signals]) -> None:
    """In the child, before its program."""
    die_with_parent(signal.SIGTERM, parent)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)


class Child:
    """A running program in a session of its own, which gets SIGTERM when this process ends.

    As a context manager it is stopped on the way out, whatever happens in between.
    """

    def __init__(self, command: Sequence[str], *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._killed = False
        # A signal whose handler raises would lose the process that has just been started, or be lost itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
                preexec_fn=partial(_begin, os.getpid(), before),
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def killed(self) -> bool:
        """Whether it had to be killed here, since it did not end when asked to."""
        return self._killed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def poll(self) -> int | None:
        """Its exit code, None while it runs; minus the signal's number if a signal ended it."""
        return self._process.poll()

    def stop(self) -> int:
        """Ask it to end, kill it after the grace period, with all that it started. Its exit code."""
        if self.poll() is None:
            self._process.terminate()
            self._wait()
        # What the program itself started may still be there when it has ended.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def _wait(self) -> None:
        deadline = time.monotonic() + self._grace_s
        while self.poll() is None:
            if time.monotonic() >= deadline:
                self._killed = True
                return
            time.sleep(POLL_S)


class Companion:
    """A program that runs beside this one, and is started again if it ends. Nothing runs until the first `check`."""

    def __init__(self, command: Sequence[str], *, restart_s: float = 10.0, grace_s: float = 5.0) -> None:
        self._command = command
        self._restart_s = restart_s
        self._grace_s = grace_s
        self._child: Child | None = None
        self._started = -restart_s

    def check(self) -> None:
        """Start it if it does not run, at most once in `restart_s` seconds."""
        running = self._child is not None and self._child.poll() is None
        if running or time.monotonic() - self._started < self._restart_s:
            return
        if self._child is not None:
            log.warning("%s ended (exit code %s): started again", " ".join(self._command[1:]), self._child.poll())
        self._started = time.monotonic()
        self._child = Child(self._command, grace_s=self._grace_s)

    def stop(self) -> None:
        if self._child is not None:
            self._child.stop()
            self._child = None
