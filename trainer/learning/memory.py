"""Out of memory, in whichever of its forms."""

from __future__ import annotations

import torch

# What torch's allocator for the CPU says; it raises a plain RuntimeError.
SAID = ("can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in SAID)
