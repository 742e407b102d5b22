"""Results on disk: one parquet file per row, named by what was computed, never half written."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import pandera.pandas as pa
import torch
from pandera.errors import SchemaError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from swis.errors import InputError
from swis.files import write_atomically

# Raised when the meaning of a column or of a configuration key changes: older rows are then
# recomputed instead of reused.
SCHEMA_VERSION = 1
# Raised when what is simulated for a row changes: older lines of hardware are then left out.
HARDWARE_VERSION = 1

# Endings of files that belong to a row.
TENSORS, SCHEDULE, CURVE, STATE = "safetensors", "schedule.parquet", "curve.parquet", "state"

_PACKAGES = ("swis", "torch", "torchvision", "timm", "numpy", "numba", "pandas", "scipy", "safetensors")

# Of a small file statistics and pandas' schema would be most, of one of one row dictionaries as well.
_PLAIN_PARQUET = {"index": False, "store_schema": False, "write_statistics": False}
_ROW_PARQUET = _PLAIN_PARQUET | {"use_dictionary": False}


def _number(**kwargs: Any) -> pa.Column:
    return pa.Column(float, nullable=True, coerce=True, **kwargs)


def _percent() -> pa.Column:
    return _number(checks=pa.Check.in_range(0, 100))


def _count(low: int) -> pa.Column:
    return pa.Column("Int64", pa.Check.ge(low), nullable=True, coerce=True)


def _text(nullable: bool = True, **kwargs: Any) -> pa.Column:
    return pa.Column("str", nullable=nullable, coerce=True, **kwargs)


SCHEMA = pa.DataFrameSchema(
    {
        "key": _text(False),
        "model": _text(False),
        "weights": _text(False),
        "data": _text(False),
        "split": _text(False),
        "images": _count(1),
        "method": _text(False),
        "bits": _number(checks=pa.Check.ge(1)),
        "group_size": _count(1),
        "alpha": _number(checks=pa.Check.ge(0)),
        "selection": _text(),
        "magnitude_bits": _count(1),
        "granularity": _text(),
        "clip": _text(),
        "skip": _text(),
        "fold_bn": pa.Column(bool, coerce=True),
        "rewrites": _text(),
        "activation_bits": _count(1),
        "activation_range": _text(),
        "calibrate": _text(),
        "retrain": _text(),
        "training": _text(),
        "coding": _text(),
        "top1": _percent(),
        "top1_low": _percent(),
        "top1_high": _percent(),
        "top5": _percent(),
        "agreement": _percent(),
        "correct": _text(),
        "logit_sqnr_db": _number(),
        "schedule": _text(),
        "schedule_price": _text(),
        "filters_per_tile": _count(1),
        "shift_multiple": _count(1),
        "schedule_spent": _number(checks=pa.Check.ge(0)),
        "schedule_loss": _number(checks=pa.Check.ge(0)),
        "schedule_bound": _number(checks=pa.Check.ge(0)),
        "mse_plus_plus": _number(checks=pa.Check.ge(0)),
        "shifts_per_weight": _number(checks=pa.Check.ge(0)),
        "cycles_per_weight": _number(checks=pa.Check.ge(0)),
        "cycles_per_weight_unordered": _number(checks=pa.Check.ge(0)),
        "cycles_per_mac": _number(checks=pa.Check.ge(0)),
        "weight_bits": _number(checks=pa.Check.gt(0)),
        "compression": _number(checks=pa.Check.gt(0)),
        "ideal_cycles": _number(checks=pa.Check.ge(0)),
        "images_per_second": _number(),
        "seconds": _number(checks=pa.Check.ge(0)),
        "seed": _count(0),
        "status": _text(False, checks=pa.Check.isin(["ok", "failed"])),
        "error": _text(),
        "config": _text(False),
        "schema_version": _count(1),
        "git_commit": _text(),
        "git_dirty": pa.Column("boolean", nullable=True, coerce=True),
        "packages": _text(False),
        "machine": _text(False),
        "created": _text(False),
    },
    strict=True,
    ordered=True,
)


def row_key(science: dict[str, Any]) -> str:
    """Return the name of a result: a hash of its scientific configuration and the schema version.

    >>> row_key({"a": 1, "b": 2}) == row_key({"b": 2, "a": 1})
    True
    """
    return digest([SCHEMA_VERSION, science])


def digest(facts: Any) -> str:
    """Return a name for what JSON can express.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def write_row(row: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Add provenance to a row, check it, write FOLDER/KEY.parquet by rename; return it as a table.

    A failure never replaces a row that was computed before.
    """
    row = {column: row.get(column) for column in SCHEMA.columns}
    created = pd.Timestamp.now("UTC").isoformat(timespec="seconds")
    row |= provenance() | {"schema_version": SCHEMA_VERSION, "created": created}
    table = SCHEMA.validate(pd.DataFrame([row]))
    if row["status"] == "ok" or read_row(row["key"], folder) is None:
        write_atomically(
            folder / f"{row['key']}.parquet", lambda path: table.to_parquet(path, **_ROW_PARQUET)
        )
    return table


def write_hardware(
    columns: dict[str, Any], facts: dict[str, Any], versus: dict[str, Any], key: str, folder: Path
) -> pd.DataFrame:
    """Keep what an accelerator takes for the network of the row ``key``, with the ``facts`` it depends on."""
    commit = {name: value for name, value in provenance().items() if name.startswith("git")}
    table = pd.DataFrame(
        [{"key": key} | columns | {"hardware": json.dumps(facts | {"versus": versus} | commit)}]
    )
    write_atomically(_hardware(key, facts, folder), lambda path: table.to_parquet(path, **_ROW_PARQUET))
    return table


def read_hardware(key: str, facts: dict[str, Any], folder: Path) -> pd.DataFrame | None:
    """Return a line that ``write_hardware`` kept, or None."""
    path = _hardware(key, facts, folder)
    try:
        return pd.read_parquet(path) if path.exists() else None
    except (OSError, ValueError):  # damaged: computed again, and replaced
        return None


def _hardware(key: str, facts: dict[str, Any], folder: Path) -> Path:
    # the underscore hides the folder from readers that take results_dir as one parquet data set
    return folder / "_hardware" / f"{key}.{digest(facts)}.parquet"


def _all_hardware(folder: Path) -> pd.DataFrame | None:
    lines = []
    for path in sorted((folder / "_hardware").glob("*.parquet")):
        try:
            line = pd.read_parquet(path)
            if json.loads(line["hardware"].item())["version"] == HARDWARE_VERSION:
                lines.append(line)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                f"{path} is no line of hardware ({type(error).__name__}); move it away"
            ) from error
    return pd.concat(lines, ignore_index=True) if lines else None


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table that is not of rows of results, with provenance in every line, by rename."""
    whole = table.assign(**provenance())
    write_atomically(path, lambda partial: whole.to_parquet(partial, **_PLAIN_PARQUET))


def read_row(key: str, folder: Path) -> pd.DataFrame | None:
    """Return a row that was computed successfully before as a table of one, or None."""
    path = folder / f"{key}.parquet"
    if not path.exists():
        return None
    row = _rows([path])
    return row if row["status"].item() == "ok" else None


def _rows(paths: Sequence[Path]) -> pd.DataFrame:
    """Read files of a row each; all are checked together, and one by one to name a bad one."""
    rows = []
    for path in paths:
        try:
            row = pd.read_parquet(path)
            version = row["schema_version"].item() if "schema_version" in row else None
        except (OSError, ValueError) as error:
            raise _no_row(path, error) from error
        if version != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {version}, this code reads {SCHEMA_VERSION}; move it away"
            )
        rows.append(row.reindex(columns=list(SCHEMA.columns)))  # some are younger than the row
        if foreign := set(row) - set(SCHEMA.columns):
            raise _no_row(path, KeyError(*sorted(foreign)))
    try:
        # as objects, for what no row has is of no type yet
        return SCHEMA.validate(pd.concat([row.astype(object) for row in rows], ignore_index=True))
    except SchemaError as error:
        if len(paths) == 1:
            raise _no_row(paths[0], error) from error
        for path in paths:
            _rows([path])
        raise


def _no_row(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is not a row of results ({type(error).__name__}); move it away")


def load_table(results_dir: str | Path = "results/runs") -> pd.DataFrame:
    """Read every row of a results folder into one table, in a reproducible order.

    A row is there once for every accelerator that was simulated for it. Raises ``InputError`` if the folder
    is not there, and for a file that is no row of this schema version.
    """
    folder = Path(results_dir)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; run.py writes one (results_dir=...)")
    empty = SCHEMA.validate(pd.DataFrame({column: [] for column in SCHEMA.columns}))
    paths = sorted(folder.glob("*.parquet"))
    table = _rows(paths) if paths else empty
    hardware = _all_hardware(folder)
    order = ["model", "weights", "data", "method", "bits", "group_size", "key"]
    if hardware is not None:
        table = table.merge(hardware, on="key", how="left")
        order += ["accelerator", "hardware"]
    return table.sort_values(order, ignore_index=True)


def load_simulated(folder: str | Path) -> pd.DataFrame:
    """Read the tables that ``task=simulate`` wrote to a folder into one, without lines that several have.

    Raises ``InputError`` if there are none.
    """
    paths = sorted(Path(folder).glob("*.parquet"))
    if not paths:
        raise InputError(f"{folder} has no tables of simulated networks; task=simulate out=FILE writes one")
    table = pd.concat([pd.read_parquet(path) for path in paths], ignore_index=True)
    keys = ["network", "accelerator", "method", "bits", "group_size", "layer"]
    return table.drop_duplicates([key for key in keys if key in table], ignore_index=True)


def write_tensors(tensors: dict[str, Tensor], key: str, folder: Path) -> None:
    """Keep what several rows are computed from (the float logits, tables of losses) beside the rows."""
    contiguous = {name: value.contiguous() for name, value in tensors.items()}
    write_atomically(beside(key, folder, TENSORS), lambda path: save_file(contiguous, path))


def read_tensors(key: str, folder: Path) -> dict[str, Tensor] | None:
    """Return tensors that were kept before, or None."""
    path = beside(key, folder, TENSORS)
    try:
        return load_file(path) if path.exists() else None
    except (SafetensorError, OSError):  # damaged: computed again, and replaced
        return None


def beside(key: str, folder: Path, ending: str) -> Path:
    """Return the path of a file that belongs to rows and is none itself."""
    # the underscore hides the folder from readers that take results_dir as one parquet data set
    return folder / "_references" / f"{key}.{ending}"


@cache
def provenance() -> dict[str, Any]:
    """Say what code on which machine computes: commit, dirty tree, package versions, hardware."""
    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return {
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(_git(folder, "status", "--porcelain", "-uno")),
        "packages": json.dumps({name: metadata.version(name) for name in _PACKAGES}),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{gpu}",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed package has no repository
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"


def finished(folder: Path) -> set[str]:
    """Return the keys of all rows in a folder that did not fail; none if it is not there."""
    if not folder.is_dir():
        return set()
    table = load_table(folder)
    return set(table.loc[table["status"] == "ok", "key"])
