"""`python -m backend config` and `--help`, as typed."""

import os
import subprocess
import sys
from pathlib import Path

from settings import Settings, example
from tests.backend.conftest import ROOT


def command(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-m", "backend", *words],
        env={**base, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_prints_every_setting_and_no_secret(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("BASIC_AUTH_USER=ls\nBASIC_AUTH_PASS=s3cret-pass\n")
    done = command(tmp_path, "config", LABEL_STUDIO_API_KEY="s3cret-token")
    assert done.returncode == 0, done.stderr
    assert all(name.upper() in done.stdout for name in Settings.model_fields)
    assert "s3cret" not in done.stdout
    assert "(hidden)" in done.stdout


def test_prints_the_example_file(tmp_path: Path) -> None:
    assert command(tmp_path, "config", "--example").stdout == example()


def test_a_wrong_setting_ends_it_with_a_line(tmp_path: Path) -> None:
    done = command(tmp_path, "config", PORT="abc")
    assert done.returncode == 2
    assert done.stderr.startswith("Error: PORT is 'abc', but must be a whole number")


def test_every_command_has_help(tmp_path: Path) -> None:
    done = command(tmp_path, "--help")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in ("serve", "config", "connect", "doctor", "run"))
    assert command(tmp_path, "nonsense").returncode == 2
