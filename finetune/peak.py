"""The most memory a process has held since a mark: of the card where there is one, else resident memory."""

from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import torch

_M_MMAP_THRESHOLD, _LARGE_BYTES = -3, 2**20  # malloc.h
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def mark() -> None:
    """Begin anew: forget the peak so far, where the system can (Linux `clear_refs` 5, man 5 proc; CUDA).

    On a CPU large blocks go back to the system when they are freed from now on: glibc raises its threshold for that as
    blocks of many sizes come and go (man 3 mallopt), and a run whose batches differ in length would hold a fifth more.
    """
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        return
    try:
        ctypes.CDLL("libc.so.6").mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
    except (OSError, AttributeError):  # another C library
        pass
    try:
        _CLEAR.write_text("5")
    except OSError:  # then the peak is the process's since its start
        pass


def peak_bytes() -> int:
    """Bytes reserved on the card at most since the mark, or resident in this process (VmHWM)."""
    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_reserved())
    try:
        line = next(line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
