"""The keys of a configuration's rows, in the user's cache, so that rows are found without loading a network.

The key of a row is a hash of everything that its numbers depend on, such as the network's weights and the
images, so these have to be loaded to compute it. A cached key is valid as long as nothing has changed: no
file that was read, no file of this package or of conf/accelerator, and no version of another package.
"""

from __future__ import annotations

import sysconfig
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

import swis.formats
from swis.experiments.config import Config
from swis.options.conf_files import CONF
from swis.options.option import Part, of_part
from swis.results import records
from swis.results.hardware_results import REASON
from swis.results.provenance import package_versions
from swis.runtime import user_cache
from swis.runtime.files import SETTLED, stamp
from swis.runtime.notices import were_given

if TYPE_CHECKING:
    from swis.data.split import Split

# If the float accuracy differs from the one recorded in the checkpoint by more than this [points], then the
# images or the weights are wrong; other machines' kernels change it by less.
FLOAT_TOLERANCE = 0.2


@dataclass(frozen=True)
class RowNames:
    """The keys of a configuration's rows, by method, and the identity of their hardware results.

    ``simulated`` has the methods with a hardware result; ``identity`` and ``versus`` are its arguments of
    ``records.read_hardware``. ``recorded_top1`` [%] is the float network's accuracy on these images according
    to the checkpoint, if it has one.
    """

    keys: dict[str, str]
    simulated: list[str] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)
    versus: dict[str, Any] = field(default_factory=dict)
    recorded_top1: float | None = None

    def has_hardware(self, method: str, folder: Path) -> bool:
        """Return whether the hardware result of a method's row exists, or the method has none."""
        return method not in self.simulated or self._hardware(method, folder) is not None

    def rows(self, folder: Path) -> pd.DataFrame | None:
        """Return all rows with their hardware results; None if one is missing or needs a warning."""
        rows = []
        for method, key in self.keys.items():
            row = records.read_row(key, folder)
            if row is not None and method in self.simulated:
                hardware = self._hardware(method, folder)
                row = None if hardware is None else row.merge(hardware, on="key")
            if row is None or self._needs_warning(method, row):
                return None
            rows.append(row)
        return pd.concat(rows, ignore_index=True)

    def _hardware(self, method: str, folder: Path) -> pd.DataFrame | None:
        return records.read_hardware(self.keys[method], self.identity, self.versus, folder)

    def _needs_warning(self, method: str, row: pd.DataFrame) -> bool:
        if REASON in row and row[REASON].notna().any():
            return True
        first = method == next(iter(self.keys)) and self.recorded_top1 is not None
        return first and abs(row["top1"].item() - self.recorded_top1) > FLOAT_TOLERANCE


@dataclass(frozen=True)
class Memory:
    """The cache of the keys of a configuration's rows, with the state of files when the run began.

    ``path`` is the cache file, or None if the keys cannot be cached. ``weights`` has the files of weights
    with their stamps; ``since`` is the time [ns].
    """

    path: Path | None
    weights: dict[str, list[int]]
    since: int

    @staticmethod
    def of(config: Config) -> Memory:
        """Return the present state; call this before anything is loaded."""
        return Memory(_path(config), {name: stamp(name) for name in _weights(config)}, time.time_ns())

    def recall(self, config: Config) -> RowNames | None:
        """Return the cached keys if nothing has changed since, else None."""
        kept = None if config.force else user_cache.load(self.path)
        if kept is None or any(stamp(path) != before for path, before in kept["files"].items()):
            return None
        return RowNames(**kept["names"])

    def keep(self, config: Config, names: RowNames, splits: Sequence[Split]) -> None:
        """Cache the keys that were computed from the images of ``splits`` since ``of`` was called.

        They are not cached if this process has logged a warning, because the next one must warn again; if
        images are in separate files, because all of these would have to be checked; and if something changed
        meanwhile.
        """
        now = Memory.of(config)
        if were_given() or any(split.in_files for split in splits) or user_cache.changed_since_start():
            return
        if (now.path, now.weights) != (self.path, self.weights):
            return
        read = {str(path): before for split in splits for path, before in split.origin.stamps.items()}
        read |= self.weights
        if all(not before or max(before[:2]) < self.since - SETTLED for before in read.values()):
            user_cache.keep({"names": asdict(names), "files": read}, self.path)


def _weights(config: Config) -> list[str]:
    """Return the files of weights; embedded weights are part of a package and not listed."""
    return [name for name in (config.weights, config.model.weights) if name not in (None, "embedded")]


def _path(config: Config) -> Path | None:
    """Return the cache file for the keys of a configuration's rows; None if they cannot be cached.

    They cannot for weights that may be downloaded again, for networks or formats in the user's code, and for
    a named CUDA device, which may be missing.
    """
    own = config.model.factory is not None or any(
        not type(fmt).__module__.startswith(f"{swis.formats.__name__}.") for fmt in config.formats
    )
    if own or config.model.weights == "timm" or config.device not in ("auto", "cpu"):
        return None
    folder = user_cache.of_this_code("row_names")
    if folder is None:
        return None
    without = of_part(config, Part.run) - {"allow_calibration_on_test"}
    identity = [
        {name: value for name, value in asdict(config).items() if name not in without},
        Path.cwd(),
        [(path.name, stamp(path)) for path in sorted((CONF / "accelerator").glob("*.yaml"))],
        [stamp(sysconfig.get_paths()[name]) for name in ("purelib", "platlib")],
        package_versions(),
    ]
    return folder / f"{records.digest(repr(identity))}.json"
