"""A subject's process, seen from outside: started with its threads pinned, asked for one run at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from tempfile import TemporaryFile
from types import TracebackType
from typing import Self

from model.bench.blip import BenchError
from model.bench.subjects import Spec
from model.bench.worker import READY, Sample

# Every library that counts threads reads one of these.
THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def pinned(cores: int, *words: str) -> list[str]:
    """The command line that runs Python with one thread a core, its environment otherwise this process's."""
    return ["env", *(f"{name}={cores}" for name in THREAD_SETTINGS), sys.executable, *words]


class Subject:
    """Use it as a context; it ends with the block. It begins to load at once, and is ready when the block begins.

    Raises BenchError when its process fails, with its last words.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._said = TemporaryFile("w+")
        self._process = subprocess.Popen(
            pinned(len(spec.cores), "-m", "model.bench.worker", json.dumps(asdict(spec))),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )

    def __enter__(self) -> Self:
        try:
            while self._line() != READY:
                pass  # what a library has to say while it loads
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def run(self, beam: int, batch: int) -> Sample:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"beam": beam, "batch": batch}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # its last words are read below
        return Sample(**json.loads(self._line()))

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            with suppress(OSError):  # a line that nobody has read
                assert stream is not None
                stream.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._said.seek(0)
            words = self._said.read().strip().splitlines() or ["it said nothing"]
            raise BenchError(f"{self.spec.kind} {self.spec.engine}".strip() + f" cannot be measured: {words[-1]}")
        return line.strip()
