"""What several runs have in common: computed once for its content, kept in memory and beside the rows."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from swis.results import records
from swis.results.tensors import kept_tensors

T = TypeVar("T")

# In memory, of every kind: a sweep comes back to what it used last.
_COUNT = 3
_kept: dict[str, dict[str, Any]] = {}

# What decodes and scales images; another version may do it otherwise.
_DECODERS = ("pillow", "timm", "torch", "torchvision")


def in_memory(
    kind: str, identity: Any, make: Callable[[], T], is_current: Callable[[T], bool] = lambda _: True
) -> T:
    """Return what ``make`` makes, or made before in this process for the same ``kind`` and ``identity``.

    ``identity``: all that the result depends on, as JSON can express it. A few results of a kind are kept,
    and nobody must change them. One that is not ``is_current`` is made anew.

    >>> in_memory("sum", [1, 2], lambda: 3), in_memory("sum", [1, 2], lambda: 4)
    (3, 3)
    """
    results, name = _kept.setdefault(kind, {}), records.digest(identity)
    kept = results.pop(name, None)
    result = results[name] = make() if kept is None or not is_current(kept) else kept  # the last one now
    while len(results) > _COUNT:
        results.pop(next(iter(results)))
    return result


def on_disk(
    kind: str, identity: Any, folder: Path | None, make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return tensors as ``in_memory`` does, and keep them in ``folder``, if there is one.

    From there other processes map them into memory, which those of one machine share.
    """

    def read_or_make() -> dict[str, Tensor]:
        versions = {name: metadata.version(name) for name in _DECODERS}
        return kept_tensors(records.digest([kind, identity, versions]), folder, make)

    return in_memory(kind, identity, read_or_make)
