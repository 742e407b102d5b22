"""Lines of hardware beside the rows: what an accelerator takes for the network of a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from swis.results.line_files import write_table
from swis.results.provenance import provenance
from swis.results.schema import digest
from swis.results.store import Found, Store
from swis.runtime.files import write_atomically

# Raised when what is simulated for a row changes: older lines of hardware are then left out.
HARDWARE_VERSION = 3

# The column that says why a line has no numbers.
REASON = "hardware_error"

_NO_HARDWARE = "does not say in JSON what hardware it is of"


def store(folder: Path) -> Store:
    """Return the lines of hardware of a results folder; facts about it repeat in many."""
    # the underscore hides the folder from readers that take results_dir as one parquet data set
    lines = folder / "_hardware"
    return Store(lines, "name", _conform, _faults, ("place",), ("name",), ("hardware",), _called)


def write_hardware(
    columns: dict[str, Any], facts: dict[str, Any], versus: dict[str, Any], key: str, folder: Path
) -> None:
    """Keep what an accelerator takes for the network of the row ``key``, with the ``facts`` it depends on.

    ``versus``: the designs that ``columns`` compare it with, and what of them that depends on. Raises
    ``CannotWrite``.
    """
    commit = {name: value for name, value in provenance().items() if _is_beside(name)}
    said = json.dumps(facts | {"versus": versus} | commit)
    table = pd.DataFrame([{"key": key} | columns | {"hardware": said}])
    path = store(folder).path(_name(key, facts))
    write_atomically(path, lambda partial: write_table(table, partial))


def read_hardware(
    key: str, facts: dict[str, Any], folder: Path, versus: Sequence[str]
) -> pd.DataFrame | None:
    """Return a line that ``write_hardware`` kept, compared with the designs ``versus``, or None.

    A damaged one is set aside.
    """
    line = _last(key, facts, folder)
    if line is None:
        return None
    frame = texts(_to_frame(line))
    return frame[_with_designs(frame, versus)]


def compared(key: str, facts: dict[str, Any], folder: Path) -> dict[str, Any] | None:
    """Return the ``versus`` that a line was written with, or None if there is no such line."""
    line = _last(key, facts, folder)
    return None if line is None else json.loads(line["hardware"][0].as_py())["versus"]


def all_hardware(folder: Path) -> tuple[pd.DataFrame | None, Found]:
    """Return all lines of this version in order, None if there are none, and what of the files was read.

    The column "hardware" is categorical, for its long texts repeat; see ``texts``.
    """
    found = store(folder).scan()
    if found.lines is None:
        return None, found
    lines = _to_frame(found.lines)
    known = lines["hardware"].cat.categories
    current = [text for text in sorted(known) if json.loads(text)["version"] == HARDWARE_VERSION]
    lines["hardware"] = lines["hardware"].cat.set_categories(current, ordered=True)
    lines = lines.dropna(subset="hardware").sort_values(["accelerator", "hardware"])
    return (lines if len(lines) else None), found


def texts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose column "hardware" is text instead of categorical.

    >>> table = pd.DataFrame({"hardware": pd.Categorical(["{}", None])})
    >>> texts(table)["hardware"].dtype
    <StringDtype(na_value=nan)>
    """
    column = table["hardware"].cat
    # astype would go through a Python object for every line
    categories, codes = column.categories.astype("str").array, column.codes.to_numpy()
    return table.assign(hardware=categories.take(codes, allow_fill=True))


def _name(key: str, facts: dict[str, Any]) -> str:
    return f"{key}.{digest(facts)}"


def _called(line: pa.Table) -> str:
    """Return the name of a line by what it says itself."""
    said = line["hardware"][0].as_py()
    if not _is_hardware(said):
        raise ValueError(_NO_HARDWARE)
    facts = {name: value for name, value in json.loads(said).items() if not _is_beside(name)}
    return _name(line["key"][0].as_py(), facts)


def _is_beside(name: str) -> bool:
    """Say whether a fact that is said with the others has no part in a line's name."""
    return name == "versus" or name.startswith("git")


def _last(key: str, facts: dict[str, Any], folder: Path) -> pa.Table | None:
    lines = next(store(folder).find(_name(key, facts)), None)
    return None if lines is None else lines.slice(lines.num_rows - 1)


def _with_designs(line: pd.DataFrame, versus: Sequence[str]) -> list[str]:
    """Return a line's columns without those of other designs; a compacted file has those of all its lines."""
    rivals = {name: name.partition("_vs_")[2] for name in line}
    compared = [name for name, rival in rivals.items() if rival in versus]
    others = [name for name, rival in rivals.items() if not rival and name != "hardware"]
    return [*others, *sorted(compared, key=lambda name: versus.index(rivals[name])), "hardware"]


def _to_frame(lines: pa.Table) -> pd.DataFrame:
    return lines.drop_columns("name").unify_dictionaries().to_pandas()


def _conform(table: pa.Table) -> pa.Table:
    for name in ("key", "accelerator", "hardware"):
        if name not in table.column_names or table[name].null_count:
            raise ValueError(f"lacks a value of {name}")
    place = table.column_names.index("hardware")
    texts = table["hardware"].cast(pa.dictionary(pa.int32(), pa.string()))
    return table.set_column(place, "hardware", texts)


def _faults(lines: pa.Table) -> dict[int, str]:
    bad = [text for text in lines["hardware"].unique().to_pylist() if not _is_hardware(text)]
    places = pc.is_in(lines["hardware"].cast(pa.string()), pa.array(bad, pa.string())).to_numpy().nonzero()[0]
    return dict.fromkeys(places.tolist(), _NO_HARDWARE)


def _is_hardware(text: str) -> bool:
    try:
        return {"version", "versus"} <= json.loads(text).keys()
    except (ValueError, AttributeError):  # not JSON, or none of an object
        return False
