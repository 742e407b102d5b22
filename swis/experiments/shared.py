"""Results that several runs share: computed once, and cached in memory and in the results folder."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from swis.results import records
from swis.results.tensors import kept_tensors

T = TypeVar("T")

# Number of results of each kind that stay in memory: a sweep usually needs the latest ones again.
_COUNT = 3
_cache: dict[str, dict[str, Any]] = {}

# The packages that decode and scale images; another version may give other values.
_DECODERS = ("pillow", "timm", "torch", "torchvision")


def in_memory(
    kind: str, identity: Any, make: Callable[[], T], is_current: Callable[[T], bool] = lambda _: True
) -> T:
    """Return the result of ``make``, or an earlier one in this process of the same ``kind`` and ``identity``.

    ``identity`` is everything that the result depends on, as a JSON value. A few results of each kind are
    kept, and must not be changed. A result that is not ``is_current`` is made again.

    >>> in_memory("sum", [1, 2], lambda: 3), in_memory("sum", [1, 2], lambda: 4)
    (3, 3)
    """
    results, name = _cache.setdefault(kind, {}), records.digest(identity)
    kept = results.pop(name, None)
    result = results[name] = make() if kept is None or not is_current(kept) else kept  # moves it to the end
    while len(results) > _COUNT:
        results.pop(next(iter(results)))
    return result


def on_disk(
    kind: str, identity: Any, folder: Path | None, make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Return tensors like ``in_memory``, and store them in ``folder`` if it is not None.

    Other processes map the stored file into memory; processes of one machine share that memory.
    """

    def read_or_make() -> dict[str, Tensor]:
        versions = {name: metadata.version(name) for name in _DECODERS}
        return kept_tensors(records.digest([kind, identity, versions]), folder, make)

    return in_memory(kind, identity, read_or_make)
