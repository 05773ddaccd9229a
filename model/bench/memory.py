"""What a process has in memory, as the kernel counts it."""

from __future__ import annotations

from pathlib import Path


def memory_mb(pid: int | str, of: str = "VmRSS") -> float:
    """What is resident now; `VmHWM` is the most that ever was."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith(f"{of}:"))) / 1024
