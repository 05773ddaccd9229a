"""Child processes of the local system: logs, ends, and that none of them stays behind."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from backend.local.errors import LocalError
from backend.local.processes import Processes
from tests.waiting import wait_until

WAIT_S = 10.0


def python(code: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(code)]


def wait_for(file: Path) -> str:
    return str(wait_until(lambda: file.exists() and file.read_text(), f"{file.name} is written", WAIT_S))


def wait_until_gone(pid: int) -> None:
    wait_until(lambda: not Path("/proc", str(pid)).exists(), f"process {pid} is gone", WAIT_S)


def test_a_child_sees_its_environment_alone_and_logs_to_its_file(tmp_path: Path) -> None:
    with Processes(tmp_path / "logs") as processes:
        code = "import os, sys; print(sorted(os.environ)); print(os.environ['ONLY'], file=sys.stderr)"
        child = processes.start("teller", python(code), environment={"ONLY": "this", "LC_ALL": "C"}, cwd=tmp_path)
        assert child.process.wait(WAIT_S) == 0
        assert child.log == tmp_path / "logs" / "teller.log"
        assert sorted(child.tail().splitlines()) == ["['LC_ALL', 'ONLY']", "this"]


def test_a_child_that_ends_by_itself_is_reported_with_its_last_words(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("failing", python("raise SystemExit('no room')"), environment={}, cwd=tmp_path)
        child.process.wait(WAIT_S)
        with pytest.raises(LocalError, match=r"(?s)failing ended by itself \(exit code 1\).*no room"):
            processes.check()


def test_stopping_asks_first_then_kills_with_all_descendants(tmp_path: Path) -> None:
    polite, stubborn, grandchild = (tmp_path / name for name in ("polite", "stubborn", "grandchild"))
    asked = f"""
        import pathlib, signal, sys, time
        signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path({str(polite)!r}).write_text('asked'), sys.exit(0)))
        pathlib.Path({str(polite)!r} + '.up').write_text('up')
        time.sleep(60)
    """
    deaf = f"""
        import os, pathlib, signal, subprocess, sys, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])
        pathlib.Path({str(grandchild)!r}).write_text(str(child.pid))
        pathlib.Path({str(stubborn)!r}).write_text(str(os.getpid()))
        time.sleep(60)
    """
    with Processes(tmp_path, grace_s=0.5) as processes:
        processes.start("polite", python(asked), environment={}, cwd=tmp_path)
        processes.start("deaf", python(deaf), environment={}, cwd=tmp_path)
        wait_for(tmp_path / "polite.up")
        pids = [int(wait_for(file)) for file in (stubborn, grandchild)]
    assert polite.read_text() == "asked"
    for pid in pids:
        wait_until_gone(pid)


@pytest.mark.skipif(sys.platform != "linux", reason="only the Linux kernel signals children of a parent that died")
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = f"""
        import pathlib, sys, time
        sys.path.insert(0, {str(Path.cwd())!r})
        from backend.local.processes import Processes
        with Processes(pathlib.Path({str(tmp_path)!r})) as processes:
            command = [sys.executable, '-c', 'import time; time.sleep(60)']
            child = processes.start('sleeper', command, environment={{}}, cwd=pathlib.Path({str(tmp_path)!r}))
            pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(child.process.pid))
            time.sleep(60)
    """
    with subprocess.Popen(python(parent)) as process:
        pid = int(wait_for(tmp_path / "pid"))
        os.kill(process.pid, signal.SIGKILL)
    wait_until_gone(pid)
