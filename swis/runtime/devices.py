"""The device that networks run on."""

from __future__ import annotations

import torch

from swis.errors import InputError


def pick_device(name: str | torch.device) -> torch.device:
    """Return the named device; "auto" is CUDA if there is such a device, else the CPU.

    CUDA convolutions are set to full float32 precision (no TF32) and to deterministic algorithms. Raises
    ``InputError`` for an unknown or missing device.

    >>> pick_device("cpu")
    device(type='cpu')
    """
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.deterministic = True
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise InputError(f"device={name} is not a device; use auto, cpu or cuda") from error
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"device={name} is not supported; use auto, cpu or cuda")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError(f"device={name}: PyTorch finds no CUDA device; use device=auto or device=cpu")
    return device
