"""Memory that is free goes back to the system: what a service of many threads holds is what it uses.

glibc gives threads heaps of their own, and keeps what was freed in each: a request's pictures pass through several
threads, and every heap would grow to the most that ever passed.
"""

from __future__ import annotations

import ctypes
import sys

# glibc's number for it (malloc.h). To map every large block by itself would save as much, but takes torch half as long
# again for a caption: its layers ask for such blocks all the time.
ARENA_MAX = -8
ARENAS = 2


def keep_small() -> bool:
    """Few heaps for all threads; call it before they are started. False where the C library is another one than glibc:
    then nothing changes."""
    return _asked("mallopt", ARENA_MAX, ARENAS)


def give_back() -> bool:
    """Return what is free, from the middle of heaps, too: after much has been freed, since it takes milliseconds. False
    where there was nothing, or another C library."""
    return _asked("malloc_trim", 0)


def _asked(name: str, *numbers: int) -> bool:
    if sys.platform != "linux":
        return False
    try:
        function = getattr(ctypes.CDLL(None), name)
    except AttributeError:  # musl
        return False
    return bool(function(*numbers))
