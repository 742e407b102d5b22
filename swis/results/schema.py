"""What a row of results is: its columns, their types and limits, and its name."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
import pandas as pd
import pandera.pandas as pa
import pyarrow
from pandera.errors import SchemaErrors

from swis.results.intervals import wilson_interval

# Raised when the meaning of a column or of a configuration key changes: older rows are then
# recomputed instead of reused.
SCHEMA_VERSION = 1


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
        "damaged_images": _count(0),
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
        "calibration_on_test": pa.Column("boolean", nullable=True, coerce=True),
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
        "float_weights": _number(checks=pa.Check.in_range(0, 1)),
        "float_macs": _number(checks=pa.Check.in_range(0, 1)),
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

# Text has 64-bit offsets, for the configurations of a million rows are more than 2 GB.
_STORED = {
    "str": pyarrow.large_string(),
    "float64": pyarrow.float64(),
    "Int64": pyarrow.int64(),
    "bool": pyarrow.bool_(),
    "boolean": pyarrow.bool_(),
}
_DTYPES = {name: column.dtype.type for name, column in SCHEMA.columns.items()}
ARROW_SCHEMA = pyarrow.schema([(name, _STORED[str(dtype)]) for name, dtype in _DTYPES.items()])


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


def conform(table: pyarrow.Table) -> pyarrow.Table:
    """Give rows as they are in a file the columns and types of ``SCHEMA``; some are younger than the file.

    Intervals of accuracies are computed from these, for rows of older code have others. Raises ``ValueError``
    for what are no rows of this schema version, but looks at no limits of values.

    >>> conform(pyarrow.table({"schema_version": [99]}))
    Traceback (most recent call last):
    ValueError: has schema version 99, this code reads 1
    """
    columns = dict(zip(table.column_names, table.columns, strict=True))
    versions = columns["schema_version"].unique().to_pylist() if "schema_version" in columns else [None]
    if versions != [SCHEMA_VERSION]:
        found = ", ".join(map(str, versions))
        raise ValueError(f"has schema version {found}, this code reads {SCHEMA_VERSION}")
    if foreign := sorted(set(columns) - set(_DTYPES)):
        raise ValueError(f"has columns that are not known: {', '.join(foreign)}")
    nothing = pyarrow.nulls(table.num_rows)
    rows = pyarrow.table({name: columns.get(name, nothing) for name in _DTYPES}).cast(ARROW_SCHEMA)
    for name, column in SCHEMA.columns.items():
        if not column.nullable and rows[name].null_count:
            raise ValueError(f"lacks a value of {name}")
    return _with_intervals(rows)


def _with_intervals(rows: pyarrow.Table) -> pyarrow.Table:
    top1, images = (rows[name].cast("float64").to_numpy() for name in ("top1", "images"))
    with np.errstate(invalid="ignore"):
        ends = wilson_interval(np.round(top1 * images / 100), images)
    for name, values in zip(("top1_low", "top1_high"), ends, strict=True):
        rows = rows.set_column(rows.column_names.index(name), name, pyarrow.array(values, from_pandas=True))
    return rows


def faults(rows: pyarrow.Table) -> dict[int, str]:
    """Say of every row of a table from ``conform``, by its place, which value is out of limits."""
    try:
        SCHEMA.validate(to_frame(rows), lazy=True)
    except SchemaErrors as errors:
        return {
            case["index"]: f"{case['column']} is {case['failure_case']}, not {case['check']}"
            for case in errors.failure_cases.to_dict("records")
        }
    return {}


def to_frame(rows: pyarrow.Table) -> pd.DataFrame:
    """Return a table from ``conform`` as pandas', with the types of ``SCHEMA``."""
    return rows.to_pandas().astype(_DTYPES)
