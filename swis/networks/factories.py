"""Networks from a user's own function: model=python model.factory=PACKAGE.MODULE:FUNCTION."""

from __future__ import annotations

import hashlib
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from swis.errors import InputError

# The value of model.weights for a network that comes with its weights.
FACTORY = "factory"


def made_by(factory: str, kwargs: dict[str, Any]) -> nn.Module:
    """Return the network that a function PACKAGE.MODULE:FUNCTION returns for ``kwargs``.

    Modules in the working folder are found too. Raises ``InputError`` if the function does not exist, fails,
    or does not return a torch module.

    >>> type(made_by("torch.nn:Linear", {"in_features": 2, "out_features": 3})).__name__
    'Linear'
    """
    place, _, name = factory.partition(":")
    if not place or not name:
        raise InputError(f"model.factory={factory} is not PACKAGE.MODULE:FUNCTION")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    try:
        function = getattr(import_module(place), name)
    except Exception as error:  # the user's code can raise any error
        reason = " ".join(str(error).split())
        raise InputError(f"model.factory={factory} cannot be loaded: {reason}") from error
    try:
        made = function(**kwargs)
    except Exception as error:  # the user's code can raise any error
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"model.factory={factory} with model.kwargs={kwargs} fails: {reason}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"model.factory={factory} returns {type(made).__name__}, not a torch module")
    return made


def code_digest(factory: str, network: nn.Module) -> str:
    """Return a digest of the user's code that a network depends on.

    It covers the loaded files of the factory's package or folder, and the text of the network's modules.
    Installed packages are left out; every row has their versions.
    """
    package = re.split(r"[.:]", factory)[0]
    home = Path(sys.modules[package].__file__ or "").resolve().parent
    loaded = (getattr(module, "__file__", None) for module in [*sys.modules.values()])
    files = {Path(file).resolve() for file in loaded if file and Path(file).is_file()}
    own = sorted(file for file in files if home in file.parents and "site-packages" not in file.parts)
    text = re.sub(r" at 0x[0-9a-f]+", "", repr(network))  # without the addresses of functions in memory
    found = hashlib.sha256(text.encode())
    for file in own:
        found.update(file.read_bytes())
    return found.hexdigest()
