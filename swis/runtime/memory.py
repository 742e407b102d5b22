"""Memory: its size, and what the C library does with freed memory."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    import torch

# Numbers of glibc's mallopt parameters.
_TRIM_THRESHOLD, _MMAP_MAX, _ARENA_MAX = -1, -4, -8


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory for the next tensor; return whether that succeeded.

    By default every large tensor gets new pages from the kernel, which clears them, and returns them at its
    end. That takes half of the time of a network's layers. With this setting the process holds the most
    memory that it has needed until it ends. Other C libraries are not changed.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return False
    # a single arena, because only the main arena can grow without limit
    settings = ((_MMAP_MAX, 0), (_TRIM_THRESHOLD, -1), (_ARENA_MAX, 1))
    return all(mallopt(*setting) for setting in settings)


def device_memory(device: torch.device) -> int:
    """Return the total memory of a device [bytes]; free memory says little, because freed memory is kept."""
    import torch  # imported here, because reading rows does not need it

    return torch.cuda.mem_get_info(device)[1] if device.type == "cuda" else psutil.virtual_memory().total
