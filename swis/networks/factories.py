"""Networks that a user's own function makes: model=python model.factory=PACKAGE.MODULE:FUNCTION."""

from __future__ import annotations

import hashlib
import re
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
    except Exception as error:  # of whatever kind: it is the user's code
        said = " ".join(str(error).split())
        raise InputError(f"model.factory={factory} cannot be loaded: {said}") from error
    try:
        made = function(**kwargs)
    except Exception as error:  # of whatever kind: it is the user's code
        said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        raise InputError(f"model.factory={factory} with model.kwargs={kwargs} fails: {said}") from error
    if not isinstance(made, nn.Module):
        raise InputError(f"model.factory={factory} returns {type(made).__name__}, not a torch module")
    return made


def code_digest(factory: str, network: nn.Module) -> str:
    """Return a digest of a user's code: what a network computes depends on it.

    It is that of the loaded files of the factory's package, or of its folder, and of the modules that the
    network consists of. Of installed packages versions are written into every row instead.
    """
    package = re.split(r"[.:]", factory)[0]
    home = Path(sys.modules[package].__file__ or "").resolve().parent
    loaded = (getattr(module, "__file__", None) for module in [*sys.modules.values()])
    files = {Path(file).resolve() for file in loaded if file and Path(file).is_file()}
    own = sorted(file for file in files if home in file.parents and "site-packages" not in file.parts)
    said = re.sub(r" at 0x[0-9a-f]+", "", repr(network))  # of functions: where they are in memory
    found = hashlib.sha256(said.encode())
    for file in own:
        found.update(file.read_bytes())
    return found.hexdigest()
