"""Functions compiled by Numba, kept in the user's cache: another process does not compile them again."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba import config
from numba.core.caching import FunctionCache

from swis.runtime import user_cache
from swis.runtime.locks import locked


def njit(**options: Any) -> Callable[[Callable], Callable]:
    """Return Numba's decorator of these options, whose machine code is kept in the user's cache.

    Numba finds a function's code by the file that the function is in; here it is that of the whole package,
    for functions are inlined into those of other files. NUMBA_CACHE_DIR chooses another place.
    """

    def decorate(function: Callable) -> Callable:
        compiled = numba.njit(**options)(function)
        folder = _folder()
        if folder is None or config.DISABLE_JIT:
            return compiled
        before, config.CACHE_DIR = config.CACHE_DIR, folder
        try:
            compiled._cache = _Cache(function)
        finally:
            config.CACHE_DIR = before
        return compiled

    return decorate


class _Cache(FunctionCache):
    """A cache for several processes at once, which does no harm where files are damaged or a disk is full."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):  # of as many kinds as there are damages
            found = super().load_overload(sig, target_context)
            if found is not None and found.signature.args == getattr(sig, "args", sig):
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # Numba numbers the files of a function's signatures by those in the index: one process at a time
        with locked(Path(self.cache_path) / "_writing.lock") as held:
            for _ in range(2 if held else 0):
                with suppress(Exception):
                    return super().save_overload(sig, data)
                with suppress(Exception):
                    self.flush()  # what is damaged would be in the way for ever


@cache
def _folder() -> str | None:
    """Return the folder for the code of this version of the package; None where nothing can be kept."""
    root = Path(config.CACHE_DIR) / "swis" if config.CACHE_DIR else None
    folder = user_cache.of_this_code("compiled", root)
    # without one Numba would choose another folder, which does not tell versions apart
    return None if folder is None else str(folder)
