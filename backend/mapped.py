"""What was read of libraries to load them goes back to the system.

To load torch's CUDA libraries the dynamic loader reads 200 MB of tables, which stay mapped though a service on a CPU
never looks at them again. A page of a file that this process may not write to holds nothing of its own: to let go of
all of them costs only that those in use are mapped anew, from memory, when they are touched next.
"""

from __future__ import annotations

import ctypes
import mmap
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

SMAPS = Path("/proc/self/smaps")
# "7f01a000-7f02b000 r--p 00000000 08:01 123   /usr/lib/x.so", then a line for each figure
HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ +(/.*)")
FIGURE = re.compile(r"(\w+): +(\d+) kB")


class Mapping(NamedTuple):
    """A stretch of a file in memory: where, with what rights, how many kB are there, and how many were written to."""

    start: int
    end: int
    rights: str
    resident: int
    written: int


def mappings(lines: Iterable[str]) -> Iterator[Mapping]:
    """Those of files, from the lines of smaps."""
    head: re.Match[str] | None = None
    figures: dict[str, int] = {}
    for line in [*lines, "end"]:
        if figure := FIGURE.match(line):
            figures[figure[1]] = int(figure[2])
        elif not line.startswith("VmFlags"):
            if head:
                start, end = int(head[1], 16), int(head[2], 16)
                # Without these figures nothing is known of the mapping, and it counts as written to.
                written = figures.get("Anonymous", 1) + figures.get("Swap", 1)
                yield Mapping(start, end, head[3], figures.get("Rss", 0), written)
            head, figures = HEAD.match(line), {}


def give_back_read() -> int:
    """Let go of all pages of files that are mapped to be read; how many kB there were. 0 on other systems than Linux.

    A mapping with pages of its own is left alone: the loader writes to some before it makes them read-only.
    """
    if sys.platform != "linux" or not SMAPS.exists():
        return 0
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    given = 0
    for one in mappings(SMAPS.read_text(errors="replace").splitlines()):
        if (
            "w" not in one.rights
            and not one.written
            and not madvise(one.start, one.end - one.start, mmap.MADV_DONTNEED)
        ):
            given += one.resident
    return given
