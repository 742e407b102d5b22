"""Networks that a user's own function makes: model=python model.factory=PACKAGE.MODULE:FUNCTION."""

from __future__ import annotations

import hashlib
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from swis.errors import InputError

# What stands for the weights that the function itself gives its network.
FACTORY = "factory"


def made_by(factory: str, kwargs: dict[str, Any]) -> nn.Module:
    """Return the network that a function PACKAGE.MODULE:FUNCTION makes of ``kwargs``.

    Modules are looked for in the working folder as well. Raises ``InputError`` for a function that is not
    there, that fails, or that returns something else.

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
    except (ImportError, AttributeError) as error:
        raise InputError(f"model.factory={factory} cannot be loaded: {error}") from error
    try:
        made = function(**kwargs)
    except Exception as error:  # of whatever kind: it is the user's code
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"model.factory={factory} with model.kwargs={kwargs} fails: {said}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"model.factory={factory} returns {type(made).__name__}, not a torch module")
    return made


def code_digest(network: nn.Module) -> str:
    """Return a digest of the files that define a network's own modules: what it computes depends on them.

    Of installed packages, such as torch, versions are written into every row instead.
    """
    files = {getattr(sys.modules[type(part).__module__], "__file__", None) for part in network.modules()}
    own = sorted(Path(file) for file in files if file is not None and "site-packages" not in file)
    return hashlib.sha256(b"".join(file.read_bytes() for file in own)).hexdigest()
