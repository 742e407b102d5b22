"""The schema of a row of results: its columns, its checks, and its key."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.compute as pc

from swis.results.aliases import with_present_names
from swis.results.columns import COLUMNS
from swis.results.intervals import wilson_interval

# Increased when a column or an option changes its meaning: older rows are then computed again.
SCHEMA_VERSION = 1

_FLOAT_BITS = 32.0


class UnsoundRow(ValueError):
    """A row has a value that its column does not allow; the message names both."""


# Text has 64-bit offsets, because the configurations of a million rows take more than 2 GB.
_STORED = {
    "str": pyarrow.large_string(),
    "float64": pyarrow.float64(),
    "Int64": pyarrow.int64(),
    "bool": pyarrow.bool_(),
    "boolean": pyarrow.bool_(),
}
_DTYPES = {name: column.kind for name, column in COLUMNS.items()}
ARROW_SCHEMA = pyarrow.schema([(name, _STORED[kind]) for name, kind in _DTYPES.items()])


def row_key(identity: dict[str, Any]) -> str:
    """Return the key of a row: a hash of the schema version and of all settings that its numbers depend on.

    >>> row_key({"a": 1, "b": 2}) == row_key({"b": 2, "a": 1})
    True
    """
    return digest([SCHEMA_VERSION, identity])


def digest(facts: Any) -> str:
    """Return a hash of any value that JSON can express; it does not depend on the order of keys.

    >>> digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    True
    """
    canonical = json.dumps(facts, sort_keys=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()[:20]


def conform(table: pyarrow.Table) -> pyarrow.Table:
    """Return rows of a file with the columns and types of ``COLUMNS``; columns newer than the file are null.

    Older names are replaced (``swis.results.aliases``). Intervals of top-1 accuracy are computed again,
    because rows of older code have other intervals. Raises ``ValueError`` for a table without rows of this
    schema version. The limits of values are not checked here.

    >>> conform(pyarrow.table({"schema_version": [99]}))
    Traceback (most recent call last):
    ValueError: has schema version 99, but this code reads version 1
    """
    table = with_present_names(table)
    columns = dict(zip(table.column_names, table.columns, strict=True))
    versions = columns["schema_version"].unique().to_pylist() if "schema_version" in columns else [None]
    if versions != [SCHEMA_VERSION]:
        found = ", ".join(map(str, versions))
        raise ValueError(f"has schema version {found}, but this code reads version {SCHEMA_VERSION}")
    if unknown := sorted(set(columns) - set(_DTYPES)):
        raise ValueError(f"has unknown columns: {', '.join(unknown)}")
    if "bits" in columns:
        columns.setdefault("shifts", columns["bits"])
    if "weight_bits" in columns:
        columns.setdefault("compression_vs_float32", pc.divide(_FLOAT_BITS, columns["weight_bits"]))
    nothing = pyarrow.nulls(table.num_rows)
    rows = pyarrow.table({name: columns.get(name, nothing) for name in _DTYPES}).cast(ARROW_SCHEMA)
    for name, column in COLUMNS.items():
        if not column.nullable and rows[name].null_count:
            raise ValueError(f"has no value of {name}")
    return _with_intervals(rows)


def check_values(rows: pyarrow.Table) -> None:
    """Raise ``ValueError`` if a table from ``conform`` has a value that its column does not allow."""
    for name, column in COLUMNS.items():
        if wrong := column.wrong(rows[name]):
            raise ValueError(f"has {name}={wrong[0]}, not {column}")


def _with_intervals(rows: pyarrow.Table) -> pyarrow.Table:
    top1, images = (rows[name].cast("float64").to_numpy() for name in ("top1", "images"))
    with np.errstate(invalid="ignore"):
        ends = wilson_interval(np.round(top1 * images / 100), images)
    for name, values in zip(("top1_low", "top1_high"), ends, strict=True):
        rows = rows.set_column(rows.column_names.index(name), name, pyarrow.array(values, from_pandas=True))
    return rows


def table_of(row: dict[str, Any]) -> pd.DataFrame:
    """Return a row as a table with the columns and types of ``COLUMNS``.

    Raises ``UnsoundRow`` for a missing value, a value of a wrong type, and a value that is not allowed.

    >>> table_of({"key": "k", "model": None})
    Traceback (most recent call last):
    swis.results.schema.UnsoundRow: a row has no model
    """
    for name, column in COLUMNS.items():
        if not column.nullable and row.get(name) is None:
            raise UnsoundRow(f"a row has no {name}")
    try:
        table = pd.DataFrame([{name: row.get(name) for name in COLUMNS}]).astype(_DTYPES)
    except (TypeError, ValueError) as error:
        raise UnsoundRow(f"a row has a value of a wrong type: {error}") from error
    for name, column in COLUMNS.items():
        if wrong := column.wrong(pyarrow.array(table[name], _STORED[column.kind])):
            raise UnsoundRow(f"{name} is {wrong[0]}, not {column}")
    return table


def to_frame(rows: pyarrow.Table) -> pd.DataFrame:
    """Return a table from ``conform`` as a pandas table with the types of ``COLUMNS``."""
    return rows.to_pandas().astype(_DTYPES)
