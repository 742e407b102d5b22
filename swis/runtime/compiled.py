"""Functions compiled by Numba and stored in the user's cache, so that other processes can reuse them."""

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
    """Return Numba's decorator with these options; it stores the machine code in the user's cache.

    Numba compiles a function again when its own file changes. Here any change of the package counts, because
    functions are inlined into those of other files. NUMBA_CACHE_DIR chooses another folder.
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
    """A cache for several processes at once; damaged files and a full disk do no harm."""

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        with suppress(Exception):  # damage can raise any kind of exception
            found = super().load_overload(sig, target_context)
            if found is not None and found.signature.args == getattr(sig, "args", sig):
                return found
        return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # Numba numbers the files of a function's signatures by its index, so only one process may write
        with locked(Path(self.cache_path) / "_writing.lock") as held:
            for _ in range(2 if held else 0):
                with suppress(Exception):
                    return super().save_overload(sig, data)
                with suppress(Exception):
                    self.flush()  # a damaged index would prevent writing for ever


@cache
def _folder() -> str | None:
    """Return the folder for machine code of this version of the package; None if it is not writable."""
    root = Path(config.CACHE_DIR) / "swis" if config.CACHE_DIR else None
    folder = user_cache.of_this_code("compiled", root)
    # without a folder Numba would choose one itself, which does not distinguish versions
    return None if folder is None else str(folder)
