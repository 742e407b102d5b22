"""The names of a configuration's rows, kept in the user's cache: rows are found without loading a network.

A row is named by all that its numbers depend on, among it the network's weights and the images: to name it,
both have to be loaded. What was named once has the same name again as long as no file has changed: none of
those that were read, none of the package, and no installed package.
"""

from __future__ import annotations

import sysconfig
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from swis.experiments.config import Config
from swis.options.conf_files import CONF
from swis.options.option import Part, of_part
from swis.results import records
from swis.runtime import user_cache
from swis.runtime.files import stamp
from swis.runtime.notices import were_given

if TYPE_CHECKING:
    from swis.data.split import Split

# A file that changed this shortly ago [ns] may change again without a later time.
_SETTLED = 2 * 10**9


@dataclass(frozen=True)
class RowNames:
    """The keys of a configuration's rows, by method, and what their hardware results depend on.

    ``simulated`` are the methods that have such a result, ``identity`` and ``versus`` what it depends on and
    is compared with (``records.read_hardware``).
    """

    keys: dict[str, str]
    simulated: list[str] = field(default_factory=list)
    identity: dict[str, Any] = field(default_factory=dict)
    versus: dict[str, Any] = field(default_factory=dict)

    def has_hardware(self, method: str, folder: Path) -> bool:
        """Say whether the hardware result of a method's row is there, or there is none to have."""
        return method not in self.simulated or self._hardware(method, folder) is not None

    def rows(self, folder: Path) -> pd.DataFrame | None:
        """Return all rows with their hardware, in order; None if something is not there."""
        rows = []
        for method, key in self.keys.items():
            row = records.read_row(key, folder)
            if row is not None and method in self.simulated:
                hardware = self._hardware(method, folder)
                row = None if hardware is None else row.merge(hardware, on="key")
            if row is None:
                return None
            rows.append(row)
        return pd.concat(rows, ignore_index=True)

    def _hardware(self, method: str, folder: Path) -> pd.DataFrame | None:
        return records.read_hardware(self.keys[method], self.identity, self.versus, folder)


def recall(config: Config) -> RowNames | None:
    """Return the names of a configuration's rows if they were kept and nothing has changed, or None."""
    kept = None if config.force else user_cache.load(_place(config))
    if kept is None or any(stamp(path) != before for path, before in kept["files"].items()):
        return None
    return RowNames(**kept["names"])


def keep(config: Config, names: RowNames, splits: Sequence[Split], since: int) -> None:
    """Keep the names of a configuration's rows, made of weights and ``splits`` read ``since`` then [ns].

    Not kept are those of a process that warned of something, for it is to warn again; of images in files of
    their own, which all would have to be looked at; of weights that may be downloaded anew; and of a network
    of the user's own code.
    """
    changing = config.model.weights == "timm" or config.model.factory is not None
    if were_given() or changing or any(split.in_files for split in splits):
        return
    read = {path: before for split in splits for path, before in split.origin.stamps.items()}
    read |= {path: stamp(path) for path in _weights(config)}
    if all(not before or max(before[:2]) < since - _SETTLED for before in read.values()):
        files = {str(path): before for path, before in read.items()}
        user_cache.keep({"names": asdict(names), "files": files}, _place(config))


def _weights(config: Config) -> list[str]:
    """Return the files of weights; those that are embedded are files of packages."""
    return [name for name in (config.weights, config.model.weights) if name not in (None, "embedded")]


def _place(config: Config) -> Path | None:
    """Return the file for the names of a configuration's rows; None where nothing can be kept."""
    folder = user_cache.of_this_code(user_cache.folder("row_names"))
    if folder is None:
        return None
    without = of_part(config, Part.run) - {"allow_calibration_on_test"}
    packages = sysconfig.get_paths()
    identity = [
        {name: value for name, value in asdict(config).items() if name not in without},
        [fmt.identity(beside_int8=True) for fmt in config.formats],
        Path.cwd(),
        [(path.name, stamp(path)) for path in sorted((CONF / "accelerator").glob("*.yaml"))],
        [stamp(packages[name]) for name in ("purelib", "platlib")],
    ]
    return folder / f"{records.digest(repr(identity))}.json"
