"""Children that die with their parent, on real processes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.house.project import ROOT
from tests.trainer.rig import alive
from tests.waiting import wait_until
from trainer.supervise import Child, Companion

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
DEAF = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.argv[1], "w").write(f"{os.getpid()} {child.pid}")
time.sleep(60)
"""
PARENT = """
import json, os, signal, sys, time
from trainer.supervise import Child, bind_forks
bind_forks()
fork = os.fork()
if fork == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(60)
child = Child([sys.executable, "-c", "import time; time.sleep(60)"], grace_s=1)
print(json.dumps([fork, child.pid, os.getsid(child.pid)]), flush=True)
time.sleep(60)
"""


def test_what_a_killed_process_had_forked_and_started_dies_with_it() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=ROOT, stdout=subprocess.PIPE)
    with parent:
        assert parent.stdout is not None
        fork, child, session = json.loads(parent.stdout.readline())
        assert session == child
        assert alive(fork) and alive(child)
        parent.kill()
    wait_until(lambda: not alive(fork) and not alive(child), "both are gone")


def test_a_child_is_asked_first_and_its_end_is_told() -> None:
    with Child(SLEEP, grace_s=5) as child:
        assert child.poll() is None
        assert child.stop() == -signal.SIGTERM
        assert not child.killed
    with Child([sys.executable, "-c", "raise SystemExit(75)"], grace_s=5) as child:
        assert wait_until(child.poll, "its end") == 75


def test_a_child_that_does_not_listen_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    told = tmp_path / "pids"
    with Child([sys.executable, "-c", DEAF, str(told)], grace_s=0.2) as child:
        wait_until(lambda: told.exists() and told.read_text().count(" "), "its start")
        assert child.stop() == -signal.SIGKILL
        assert child.killed
    pids = [int(pid) for pid in told.read_text().split()]
    wait_until(lambda: not any(map(alive, pids)), "both are gone")


def test_an_exception_stops_the_child() -> None:
    try:
        with Child(SLEEP, grace_s=5) as child:
            raise RuntimeError
    except RuntimeError:
        assert not alive(child.pid)


def test_a_companion_that_ends_is_started_again_but_not_all_the_time(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    code = f"import os, time; open({str(starts)!r}, 'a').write(f'{{os.getpid()}}\\n'); time.sleep(60)"
    companion = Companion([sys.executable, "-c", code], restart_s=0.3, grace_s=1)

    def pids() -> list[int]:
        return [int(pid) for pid in starts.read_text().split()] if starts.exists() else []

    companion.check()
    (first,) = wait_until(pids, "the first start")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not alive(first), "its end")
    time.sleep(0.3)
    companion.check()
    _, second = wait_until(lambda: pids() if len(pids()) == 2 else [], "the second start")
    companion.check()
    companion.stop()
    wait_until(lambda: not alive(second), "its end")
    assert len(pids()) == 2
