"""Freed memory goes back to the system, in a process of its own: the setting is for good."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.backend.conftest import ROOT

# Threads at work side by side, each with pieces of 100 KB, of which every tenth is kept; then what is left of the rest.
PROGRAM = """
import sys
from pathlib import Path
from threading import Barrier, Thread
from backend.heap import give_back, keep_small
def resident():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmRSS:"))) // 1024
def work():
    blocks = [bytearray(b"x") * 100_000 for _ in range(200)]
    together.wait()
    crumbs.extend(blocks[::10])
crumbs, together = [], Barrier(8)
if sys.argv[1] == "small":
    assert keep_small()
before = resident()
threads = [Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
if sys.argv[1] == "small":
    give_back()
print(resident() - before - len(crumbs) // 10)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the C library of Linux alone has this setting")
def test_what_threads_freed_is_not_kept() -> None:
    left = {
        how: int(subprocess.run([sys.executable, "-c", PROGRAM, how], cwd=ROOT, check=True, capture_output=True).stdout)
        for how in ("small", "as it is")
    }
    assert left["small"] < 20
    assert left["as it is"] > left["small"] + 50, "else the setting is of no use here, and can go"
