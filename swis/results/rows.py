"""Rows of results on disk: each is named by its settings, checked, and never half written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.compute as pc

from swis.results import schema
from swis.results.provenance import provenance
from swis.results.store import Found, Store

# Tables of rows are sorted by these columns.
_ORDER = ("model", "weights", "data", "method", "bits", "group_size", "key")


def store(folder: Path) -> Store:
    """Return the store of a folder's rows; of two rows with the same key, one with status "ok" counts."""
    return Store(folder, "key", _ORDER, schema.conform, schema.check_values, rank="status")


def write_row(row: dict[str, Any], folder: Path) -> pd.DataFrame:
    """Add provenance to a row, check it, write it to FOLDER/KEY.parquet, and return it as a table.

    A failed row never replaces a computed one. Raises ``UnsoundRow`` and ``CannotWrite``.
    """
    created = pd.Timestamp.now("UTC").isoformat(timespec="seconds")
    row = row | provenance() | {"schema_version": schema.SCHEMA_VERSION, "created": created}
    table = schema.table_of(row)

    def replaces_computed() -> bool:
        return row["status"] != "ok" and read_row(row["key"], folder) is not None

    store(folder).write(row["key"], table, unless=replaces_computed)
    return table


def read_row(key: str, folder: Path) -> pd.DataFrame | None:
    """Return a computed row as a table with one row; None if there is no row with the status "ok".

    A file without a row of this schema version is set aside, so that the row is computed again.
    """
    for rows in store(folder).find(key):
        done = rows.filter(pc.equal(rows["status"], "ok"))
        if done.num_rows:
            return schema.to_frame(done)
    return None


def all_rows(folder: Path) -> tuple[pd.DataFrame, Found]:
    """Return all rows of a folder in order, and what was read from its files."""
    found = store(folder).scan()
    rows = schema.ARROW_SCHEMA.empty_table() if found.rows is None else found.rows
    return schema.to_frame(rows), found
