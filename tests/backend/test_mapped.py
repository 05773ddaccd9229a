"""Pages of libraries go back, and only those that hold nothing of the process's own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from backend.mapped import mappings
from tests.backend.conftest import ROOT

SMAPS = """\
7f0000000000-7f0000010000 r--p 00000000 08:01 11                         /usr/lib/with a space.so
Size:                 64 kB
Rss:                  40 kB
Anonymous:             0 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
7f0000010000-7f0000020000 r--p 00010000 08:01 11                         /usr/lib/with a space.so
Rss:                  16 kB
Anonymous:            16 kB
Swap:                  0 kB
VmFlags: rd mr mw me sd
7f0000020000-7f0000030000 r--p 00020000 08:01 11                         /usr/lib/with a space.so
Rss:                   0 kB
Anonymous:             0 kB
Swap:                 64 kB
7f0000030000-7f0000040000 rw-p 00000000 00:00 0
Rss:                  64 kB
Anonymous:             0 kB
Swap:                  0 kB
7f0000040000-7f0000050000 r-xp 00000000 08:01 12                         /usr/lib/short.so
Rss:                   4 kB
"""

# A library's pages are given back in the midst of its work; what the process wrote itself stays as it is.
PROGRAM = """
import mmap, tempfile
import numpy as np
from backend.mapped import give_back_read
def resident():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssFile:")))
file = tempfile.TemporaryFile()
file.write(bytes(range(256)) * 4096)
file.flush()
read = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
own = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE)
own[:4] = b"mine"
sums, first = sum(read[::4096]), np.linalg.inv(np.eye(64) * 4).sum()
before = resident()
given = give_back_read()
after = resident()
assert given > 1024 and before - after > 1024, (given, before, after)
assert own[:5] == b"mine\\x04" and sum(read[::4096]) == sums
assert np.linalg.inv(np.eye(64) * 4).sum() == first
"""


def test_of_each_mapping_of_a_file_it_is_known_what_was_written_to_it() -> None:
    found = [(one.start, one.rights, one.resident, one.written > 0) for one in mappings(SMAPS.splitlines())]
    assert found == [
        (0x7F0000000000, "r--p", 40, False),
        (0x7F0000010000, "r--p", 16, True),
        (0x7F0000020000, "r--p", 0, True),
        (0x7F0000040000, "r-xp", 4, True),
    ], "no word of it: it is left alone; and memory of no file is none of these"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what of a file is in memory")
def test_what_was_read_goes_back_and_everything_works_as_before() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
