"""Tables of tasks that make no rows: their settings, and whether they exist already."""

from __future__ import annotations

import hashlib
import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

from swis.experiments.config import Config
from swis.hardware.layer_shapes import read_workload
from swis.options.option import Part, of_part, renamed
from swis.results import records
from swis.runtime.files import check_output


def table_settings(config: Config) -> dict[str, Any]:
    """Return the settings that a table records: all options, and the SHA-256 of the files that they name."""
    named = {"workload": config.workload, "model.weights": config.model.weights}
    files = {name: Path(path).expanduser() for name, path in named.items() if path is not None}
    digests = {
        name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items() if path.is_file()
    }
    return json.loads(json.dumps(asdict(config))) | {"files": digests}


def has_table(config: Config) -> bool:
    """Return whether the file ``out`` has the table of this task, with the same settings and files.

    Raises ``InputError`` if ``out`` is another file, or if the workload cannot be read.
    """
    if config.workload is not None:
        read_workload(config.workload)
    if config.out is None:
        return False
    path, now = Path(config.out), table_settings(config)
    if not config.force and config.does.makes_table:
        written = _completed(records.config_of_table(path) or {}, config)
        written.setdefault("files", now["files"])  # older tables do not have it
        for settings in (now, written):
            settings.get("data", {}).pop("workers", None)
        without_part = of_part(config, Part.run, *([] if config.does.simulates else [Part.hardware]))
        now, written = _without_sources(now), _without_sources(written)
        if units := written.get("energy", {}).get("units"):  # a PE that it lacks is of no design in the table
            now["energy"]["units"] = {
                name: unit for name, unit in now["energy"]["units"].items() if name in units
            }
        if all(written.get(name) == now[name] for name in now.keys() - without_part):
            return True
    check_output(path, config.force)
    return False


def _without_sources(settings: Any) -> Any:
    """Return settings without the texts that only say where a number is from."""
    if isinstance(settings, dict):
        kept = {name: value for name, value in settings.items() if not name.endswith("source")}
        return {name: _without_sources(value) for name, value in kept.items()}
    return settings


def _completed(written: dict[str, Any], like: Any) -> dict[str, Any]:
    """Return a table's settings with the options' present names, and defaults for options it lacks."""
    whole = renamed(written, like)
    for known in fields(like):
        if known.name in whole and is_dataclass(getattr(like, known.name)):
            whole[known.name] = _completed(whole[known.name], getattr(like, known.name))
        elif written and known.name not in whole and known.default is not MISSING:
            whole[known.name] = known.default
    return json.loads(json.dumps(whole))
