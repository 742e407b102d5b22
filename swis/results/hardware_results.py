"""Hardware results: what an accelerator takes for the network of a row of results."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from swis.results.provenance import provenance
from swis.results.schema import digest
from swis.results.store import Found, Store

# Raised when what is simulated for a row changes: older hardware results are then left out.
HARDWARE_VERSION = 3

# The column that says why a hardware result has no numbers.
REASON = "hardware_error"


def store(folder: Path) -> Store:
    """Return the hardware results of a results folder, named by their row and the digest of their facts."""
    # the underscore hides the folder from readers that take results_dir as one parquet data set
    return Store(folder / "_hardware", "name", ("name",), _conform, repeated=("hardware",))


def write_hardware(
    columns: dict[str, Any], identity: dict[str, Any], versus: dict[str, Any], key: str, folder: Path
) -> None:
    """Keep what an accelerator takes for the network of the row ``key``, with the ``identity`` it depends on.

    ``versus``: the designs that ``columns`` compare it with, and the facts of each. Raises ``CannotWrite``.
    """
    commit = {name: value for name, value in provenance().items() if not _is_fact(name)}
    text = json.dumps(identity | {"versus": versus} | commit)
    store(folder).write(_name(key, identity), pd.DataFrame([{"key": key} | columns | {"hardware": text}]))


def read_hardware(
    key: str, identity: dict[str, Any], versus: dict[str, Any], folder: Path
) -> pd.DataFrame | None:
    """Return a result that ``write_hardware`` kept if it compares with the designs ``versus``, or None.

    It has the columns of these designs alone. A damaged one is set aside.
    """
    found = _find(key, identity, folder)
    if found is None or not versus.items() <= _versus(found).items():
        return None
    frame = texts(_to_frame(found))
    own = [name for name in frame if "_vs_" not in name]
    return frame[own + [name for design in versus for name in frame if name.endswith(f"_vs_{design}")]]


def compared(key: str, identity: dict[str, Any], folder: Path) -> Collection[str]:
    """Return the designs that a kept result is compared with; none if there is no such result."""
    found = _find(key, identity, folder)
    return [] if found is None else [*_versus(found)]


def all_hardware(folder: Path) -> tuple[pd.DataFrame | None, Found]:
    """Return all results of this version in order, None if there are none, and what of the files was read.

    The column "hardware" is categorical, for its long texts repeat; see ``texts``.
    """
    found = store(folder).scan()
    if found.rows is None:
        return None, found
    results = _to_frame(found.rows)
    known = results["hardware"].cat.categories
    current = [text for text in sorted(known) if json.loads(text)["version"] == HARDWARE_VERSION]
    results["hardware"] = results["hardware"].cat.set_categories(current, ordered=True)
    results = results.dropna(subset="hardware").sort_values(["accelerator", "hardware"])
    return (results if len(results) else None), found


def texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column "hardware" is text instead of categorical.

    >>> table = pd.DataFrame({"hardware": pd.Categorical(["{}", None])})
    >>> texts(table)["hardware"].dtype
    <StringDtype(na_value=nan)>
    """
    column = table["hardware"].cat
    # astype would go through a Python object for every row
    categories, codes = column.categories.astype("str").array, column.codes.to_numpy()
    return table.assign(hardware=categories.take(codes, allow_fill=True))


def _find(key: str, identity: dict[str, Any], folder: Path) -> pa.Table | None:
    return next(store(folder).find(_name(key, identity)), None)


def _name(key: str, identity: dict[str, Any]) -> str:
    return f"{key}.{digest(identity)}"


def _is_fact(name: str) -> bool:
    """Say whether what is said of a result has a part in its name: its comparisons and its code have none."""
    return name != "versus" and not name.startswith("git")


def _versus(result: pa.Table) -> dict[str, Any]:
    return json.loads(result["hardware"][0].as_py())["versus"]


def _to_frame(results: pa.Table) -> pd.DataFrame:
    return results.drop_columns("name").unify_dictionaries().to_pandas()


def _conform(table: pa.Table) -> pa.Table:
    """Check that a table is of hardware results, and name those of files of one."""
    for name in ("key", "accelerator", "hardware"):
        if name not in table.column_names or table[name].null_count:
            raise ValueError(f"lacks a value of {name}")
    texts = table["hardware"].cast(pa.dictionary(pa.int32(), pa.string()))
    known = {text for chunk in texts.chunks for text in chunk.dictionary.to_pylist()}
    identity = {text: _facts(text) for text in known}
    table = table.set_column(table.column_names.index("hardware"), "hardware", texts)
    if "name" in table.column_names:
        return table
    names = map(_name, table["key"].to_pylist(), (identity[text] for text in texts.to_pylist()))
    return table.append_column("name", pa.array(names, pa.string()))


def _facts(text: str) -> dict[str, Any]:
    """Return what a text in the column "hardware" says that a result depends on."""
    try:
        said = json.loads(text)
        if {"version", "versus"} <= said.keys():
            return {name: value for name, value in said.items() if _is_fact(name)}
    except (ValueError, AttributeError):  # not JSON, or none of an object
        pass
    raise ValueError("does not say in JSON what hardware it is of")
