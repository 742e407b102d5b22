"""Memory: how much there is, and what the C library does with what is freed."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

# Numbers of glibc's mallopt parameters.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Have glibc keep freed memory for the next tensor; return whether it does.

    By default every large tensor gets fresh pages, which the kernel clears, and gives them back: half of the
    time of a network's layers. The process then holds its largest need of memory until it ends. Other C
    libraries are left alone.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # one arena: only the main one grows at will
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return all(mallopt(*setting) for setting in settings)


def device_memory(device: torch.device) -> int:
    """Return the bytes of memory of a device: what is free says little, for freed memory is used again."""
    import torch  # here, for rows are read without it

    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
