"""Reading and writing results: rows, their hardware results, and the tables of other tasks."""

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
from swis.results.columns import COLUMNS, HELD_OUT_RESULTS, RESULTS, SCHEDULE_RESULTS, SETTINGS
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

    ``swis.columns`` lists all columns with their meanings and units. ``columns`` chooses among them:

    * "results": the settings, then the measurements, with one row per measured configuration. Columns of
      settings, schedules and held-out images that are null in every row are left out. Rows that look the same
      differ in settings that have no column and are in ``config``.
    * "all": every column, with provenance and hardware. A row appears once per simulated accelerator.
    * a list of names: only these columns. If one of them is about hardware, a row appears once per simulated
      accelerator, and the column ``accelerator`` is added.

    Damaged files, and files of another schema version, are left out with a warning. Raises ``InputError`` if
    the folder does not exist, and for unknown columns.

    >>> rows = load_table("results/first_table", ["method", "calibrate", "top1", "latency_ms"])
    >>> swis = rows.query("method == 'swis' and calibrate == 'stats'").round(2)
    >>> swis[["top1", "latency_ms", "accelerator"]].to_dict("records")
    [{'top1': 93.18, 'latency_ms': 1.66, 'accelerator': 'swis_ss'}]
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
    """Return the columns of settings and results, without settings that are null in every row."""
    given = {name for name in table if table[name].notna().any()} if len(table) else set(table)
    known = SETTINGS | RESULTS | SCHEDULE_RESULTS | HELD_OUT_RESULTS
    return [name for name in known if name in RESULTS or name in given]


def _chosen(table: pd.DataFrame, names: list[str], folder: Path) -> pd.DataFrame:
    """Return the named columns of a table with hardware, and the column ``accelerator``."""
    known = dict.fromkeys(table) | HARDWARE_COLUMNS
    unknown = [f"{name}{_similar(name, known)}" for name in names if name not in known]
    if unknown:
        raise InputError(f"rows in {folder} have no column {', no '.join(unknown)}; swis.columns() lists all")
    lacking = [name for name in HARDWARE_COLUMNS if name not in table]
    nulls = {name: pd.Series(None, table.index, HARDWARE_COLUMNS[name].kind) for name in lacking}
    return table.assign(**nulls)[names if "accelerator" in names else [*names, "accelerator"]]


def _similar(name: str, known: Iterable[str]) -> str:
    """
    >>> _similar("top", ["top1", "top5", "bits"]), _similar("colour", ["top1"])
    (' (similar: top5, top1)', '')
    """
    found = get_close_matches(name, known)
    return f" (similar: {', '.join(found)})" if found else ""


def load_simulated(folder: str | Path) -> pd.DataFrame:
    """Read all tables that ``task=simulate`` wrote to a folder into one table without repeated rows.

    Two rows are the same if they differ only in provenance (``swis.results.tables.union``). Raises
    ``InputError`` if the folder has no tables.
    """
    return union(_tables(folder, "simulated networks; task=simulate out=FILE writes one"))


def load_storage(folder: str | Path) -> pd.DataFrame:
    """Read all tables that ``task=storage`` wrote to a folder; raise ``InputError`` if there are none."""
    return pd.concat(_tables(folder, "storage; task=storage out=FILE writes one"), ignore_index=True)


def _tables(folder: str | Path, what: str) -> list[pd.DataFrame]:
    paths = sorted(Path(folder).glob("*.parquet"))
    if not paths:
        raise InputError(f"{folder} has no tables of {what}")
    return [read_table(path) for path in paths]


def read_table(path: Path) -> pd.DataFrame:
    """Read a table of another task than evaluate; raise ``InputError`` for a damaged file."""
    try:
        with parquet_files.reading(path):
            return with_present_names(parquet_files.read_rows(path)).to_pandas()
    except parquet_files.Damaged as error:
        raise InputError(f"{path} {error}") from error


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table of another task than evaluate, with provenance in every row, and rename it into place.

    Raises ``CannotWrite``.
    """
    whole = table.assign(**provenance())
    write_atomically(path, lambda partial: parquet_files.write_table(whole, partial))


def config_of_table(path: Path) -> dict[str, Any] | None:
    """Return the configuration in a table's rows; None without a table, or without a configuration."""
    try:
        return json.loads(read_table(path)["config"][0])
    except (FileNotFoundError, InputError, KeyError, TypeError, ValueError):
        return None


def finished(folder: Path) -> set[str]:
    """Return the keys of all rows of a folder with the status "ok"; none if the folder does not exist."""
    if not folder.is_dir():
        return set()
    table, found = all_rows(folder)
    _warn(folder, found.damaged)
    return set(table.loc[table["status"] == "ok", "key"])


def _warn(folder: Path, damaged: dict[Path, str]) -> None:
    if damaged:
        path, reason = next(iter(damaged.items()))
        log.warning(
            "files left out of %s: %d; the first is %s, which %s; python -m swis.results check %s lists all",
            *(folder, len(damaged), path, reason, folder),
        )


def existing_folder(path: str | Path) -> Path:
    """Return a results folder as a path; raise ``InputError`` if it does not exist."""
    folder = Path(path)
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; run.py creates one with results_dir={folder}")
    return folder
