"""Results on disk: rows, their hardware results and artifacts, and tables of other tasks."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from swis.errors import InputError
from swis.results import parquet_files
from swis.results.aliases import with_present_names
from swis.results.artifacts import CURVE, SCHEDULE, STATE, artifact_path, locked
from swis.results.columns import COLUMNS, RESULTS, SCHEDULE_RESULTS, SETTINGS
from swis.results.hardware_results import (
    HARDWARE_COLUMNS,
    HARDWARE_VERSION,
    all_hardware,
    compared,
    read_hardware,
    texts,
    write_hardware,
)
from swis.results.provenance import provenance
from swis.results.rows import all_rows, read_row, write_row
from swis.results.schema import SCHEMA_VERSION, UnsoundRow, digest, row_key
from swis.results.tables import union
from swis.runtime.files import write_atomically

__all__ = [
    "COLUMNS",
    "CURVE",
    "HARDWARE_VERSION",
    "SCHEDULE",
    "SCHEMA_VERSION",
    "STATE",
    "UnsoundRow",
    "artifact_path",
    "compared",
    "config_of_table",
    "digest",
    "finished",
    "load_simulated",
    "load_storage",
    "load_table",
    "locked",
    "provenance",
    "read_hardware",
    "read_row",
    "read_table",
    "row_key",
    "write_hardware",
    "write_row",
    "write_table",
]

log = logging.getLogger("swis")


def load_table(
    results_dir: str | Path = "results/runs", columns: str | Iterable[str] = "results"
) -> pd.DataFrame:
    """Read the rows of a results folder into one table, in a reproducible order.

    ``columns`` says which columns (``swis.columns`` what they mean, and in which units):

    * "results": settings, then what was measured; a row per measured configuration. Settings, and columns
      about schedules, that are null in every row do not apply and are left out. Rows that look alike differ
      in settings without a column, which are in ``config``.
    * "all": every column, provenance and hardware as well; a row once per accelerator simulated for it.
    * names: these alone. With a column of hardware rows are as in "all", and ``accelerator`` comes as well.

    Files that are damaged or of another schema version are left out, with a warning. Raises ``InputError``
    if the folder is not there, and for names of no column.

    >>> rows = load_table("results/first_table", ["method", "top1", "latency_ms"])
    >>> rows.query("method == 'swis'").round(2).to_dict("records")
    [{'method': 'swis', 'top1': 18.22, 'latency_ms': 1.66, 'accelerator': 'swis_ss'}]
    """
    folder = existing_folder(results_dir)
    names = None if isinstance(columns, str) else list(columns)
    if names is None and columns not in ("results", "all"):
        raise InputError(f"columns are 'results', 'all' or a list of names, not {columns!r}")
    table, found = all_rows(folder)
    if columns == "results":
        names = _applying(table)
    if names is not None and COLUMNS.keys() >= set(names):
        _warn(folder, found.damaged)
        return table[names]
    hardware, more = all_hardware(folder)
    _warn(folder, found.damaged | more.damaged)
    if hardware is not None:
        table = texts(table.merge(hardware, on="key", how="left"))
    return table if names is None else _chosen(table, names, folder)


def _applying(table: pd.DataFrame) -> list[str]:
    """Return the columns of settings and results, but for those that apply to no row."""
    given = {name for name in table if table[name].notna().any()} if len(table) else set(table)
    return [name for name in SETTINGS | RESULTS | SCHEDULE_RESULTS if name in RESULTS or name in given]


def _chosen(table: pd.DataFrame, names: list[str], folder: Path) -> pd.DataFrame:
    """Return some columns of a table with hardware, and which accelerator it is of."""
    known = dict.fromkeys(table) | HARDWARE_COLUMNS
    unknown = [f"{name}{_alike(name, known)}" for name in names if name not in known]
    if unknown:
        raise InputError(f"rows in {folder} have no column {', no '.join(unknown)}; swis.columns() lists all")
    lacking = [name for name in HARDWARE_COLUMNS if name not in table]
    nulls = {name: pd.Series(None, table.index, HARDWARE_COLUMNS[name].kind) for name in lacking}
    return table.assign(**nulls)[names if "accelerator" in names else [*names, "accelerator"]]


def _alike(name: str, known: Iterable[str]) -> str:
    """
    >>> _alike("top", ["top1", "top5", "bits"]), _alike("colour", ["top1"])
    (' (close are top5, top1)', '')
    """
    found = get_close_matches(name, known)
    return f" (close are {', '.join(found)})" if found else ""


def load_simulated(folder: str | Path) -> pd.DataFrame:
    """Read the tables that ``task=simulate`` wrote to a folder into one, a row that several have once.

    Rows are the same if they differ in nothing but provenance (``swis.results.tables.union``). Raises
    ``InputError`` if there are none.
    """
    return union(_tables(folder, "simulated networks; task=simulate out=FILE writes one"))


def load_storage(folder: str | Path) -> pd.DataFrame:
    """Read the tables that ``task=storage`` wrote to a folder into one; raise ``InputError`` for none."""
    return pd.concat(_tables(folder, "storage; task=storage out=FILE writes one"), ignore_index=True)


def _tables(folder: str | Path, what: str) -> list[pd.DataFrame]:
    paths = sorted(Path(folder).glob("*.parquet"))
    if not paths:
        raise InputError(f"{folder} has no tables of {what}")
    return [read_table(path) for path in paths]


def read_table(path: Path) -> pd.DataFrame:
    """Read a table that is not of rows of results; raise ``InputError`` for a damaged file."""
    try:
        with parquet_files.reading(path):
            return with_present_names(parquet_files.read_rows(path)).to_pandas()
    except parquet_files.Damaged as error:
        raise InputError(f"{path} {error}") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table that is not of rows of results, with provenance in every row, by rename.

    Raises ``CannotWrite``.
    """
    whole = table.assign(**provenance())
    write_atomically(path, lambda partial: parquet_files.write_table(whole, partial))


def config_of_table(path: Path) -> dict[str, Any] | None:
    """Return the configuration in the rows of a table, or None if there is no table that has one."""
    try:
        return json.loads(read_table(path)["config"][0])
    except (FileNotFoundError, InputError, KeyError, TypeError, ValueError):
        return None


def finished(folder: Path) -> set[str]:
    """Return the keys of all rows in a folder that did not fail; none if it is not there."""
    if not folder.is_dir():
        return set()
    table, found = all_rows(folder)
    _warn(folder, found.damaged)
    return set(table.loc[table["status"] == "ok", "key"])


def _warn(folder: Path, damaged: dict[Path, str]) -> None:
    if damaged:
        path, reason = next(iter(damaged.items()))
        log.warning(
            "%d of the files in %s left out, the first: %s %s; python -m swis.results check %s tells more",
            *(len(damaged), folder, path, reason, folder),
        )


def existing_folder(path: str | Path) -> Path:
    """Return a results folder as a path; raise ``InputError`` if it is not there."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; run.py writes one (results_dir=...)")
    return folder
