"""Rows of results on disk, named by what was computed, checked, never half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from swis.results import schema
from swis.results.provenance import provenance
from swis.results.store import Found, Store

# A table of rows is in the order of these columns, and of the hardware of a row.
_ORDER = ("model", "weights", "data", "method", "bits", "group_size", "key")


def store(folder: Path) -> Store:
    """Return the rows of a results folder; "ok" comes after "failed", and so counts."""
    return Store(folder, "key", _ORDER, schema.conform, schema.check_values, rank="status")


def write_row(row: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Add provenance to a row, check it, write FOLDER/KEY.parquet by rename; return it as a table.

    A failure never replaces a row that was computed before. Raises ``UnsoundRow`` and ``CannotWrite``.
    """
    created = pd.Timestamp.now("UTC").isoformat(timespec="seconds")
    row = row | provenance() | {"schema_version": schema.SCHEMA_VERSION, "created": created}
    table = schema.table_of(row)

    def is_better_there() -> bool:
        return row["status"] != "ok" and read_row(row["key"], folder) is not None

    store(folder).write(row["key"], table, unless=is_better_there)
    return table


def read_row(key: str, folder: Path) -> pd.DataFrame | None:
    """Return a row that was computed successfully before as a table of one, or None.

    A file that is no row of this schema version is set aside, so that the row is computed anew.
    """
    for rows in store(folder).find(key):
        done = rows.filter(pc.equal(rows["status"], "ok"))
        if done.num_rows:
            return schema.to_frame(done)
    return None


def all_rows(folder: Path) -> tuple[pd.DataFrame, Found]:
    """Return the rows of a folder in order, and what of its files was read."""
    found = store(folder).scan()
    rows = schema.ARROW_SCHEMA.empty_table() if found.rows is None else found.rows
    return schema.to_frame(rows), found
