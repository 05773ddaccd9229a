"""Where the arithmetic runs: the device, its number format, and how many threads."""

from __future__ import annotations

import os

import torch


class DeviceError(ValueError):
    """A device that this machine does not have."""


def pick_device(name: str = "auto") -> str:
    """`auto` is the GPU when there is one, else the CPU; any other name must be usable here. Raises DeviceError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=name)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DeviceError(
            f"device {name!r} cannot be used here ({reason}); accepted are auto, cpu, cuda, cuda:N"
        ) from error
    return name


def set_threads(threads: int = 0) -> int:
    """Set torch's CPU threads, 0 for one a core that this process may use; torch's own default ignores such limits."""
    count = threads or len(os.sched_getaffinity(0))
    torch.set_num_threads(count)
    return count


def has_bfloat16(device: str) -> bool:
    """Whether bfloat16 is native there: elsewhere it is emulated, slower than float32."""
    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device: str) -> torch.autocast:
    """Mixed precision for training and features where the device has bfloat16; elsewhere it does nothing."""
    kind = "cuda" if device.startswith("cuda") else "cpu"
    return torch.autocast(kind, torch.bfloat16, enabled=has_bfloat16(device))
