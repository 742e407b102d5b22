"""Hardware results: what an accelerator takes for the network of a row of results."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from swis.results.columns import flag, note, number
from swis.results.provenance import provenance
from swis.results.schema import digest
from swis.results.store import Found, Store

# Raised when what is simulated for a row changes: older hardware results are then left out.
HARDWARE_VERSION = 3

# The column that says why a hardware result has no numbers.
REASON = "hardware_error"

# What an accelerator says of its array and its memory.
ARRAY = {
    "rows": number("rows of the array", "units"),
    "columns": number("columns of the array", "units"),
    "lanes": number("terms of a dot product that a unit takes at once", "lanes"),
    "groups_share_lanes": flag("whether lanes of a unit may work on different groups"),
    "systolic": flag("whether operands pass from unit to unit, so that every fold fills and drains"),
    "side_by_side": flag("whether channels of a depthwise layer share the array"),
    "spread_fc": flag("whether filters of a layer with one output pixel are on columns as well"),
    "frequency_mhz": number("clock", "MHz"),
    "dram_bits_per_cycle": number("bits from and to DRAM in a cycle of the array", "bits/cycle"),
    "weight_sram_bytes": number("size of the SRAM for weights", "bytes"),
    "input_sram_bytes": number("size of the SRAM for input activations", "bytes"),
    "output_sram_bytes": number("size of the SRAM for outputs", "bytes"),
}
# The accelerator that was simulated for a row, and the energy table that prices it.
DESIGN = {
    "accelerator": note("name of the accelerator that was simulated"),
    "energy_table": note("table of energies and areas"),
    "dram_pj_per_bit": number("energy of a bit read from DRAM or written to it", "pJ/bit"),
    **ARRAY,
}

# What that accelerator takes for one image.
SIMULATED = {
    "latency_cycles": number("cycles of an image, stalls included", "cycles"),
    "stall_cycles": number("cycles of an image in which the array waits for memory", "cycles"),
    "latency_ms": number("time of an image", "ms"),
    "frames_per_s": number("images per second, one after another", "frames/s"),
    "utilization": number("share of lane-cycles that work on what is needed"),
    "dram_bytes": number("DRAM traffic of an image", "bytes"),
    "weight_dram_bytes": number("DRAM traffic of an image's weights", "bytes"),
    "energy_pj": number("energy of an image: the sum of its parts", "pJ"),
    "frames_per_j": number("images per joule", "frames/J"),
    "datapath_energy_pj": number("energy of the processing units", "pJ"),
    "register_energy_pj": number("energy of registers between units", "pJ"),
    "weight_sram_energy_pj": number("energy of the SRAM for weights", "pJ"),
    "input_sram_energy_pj": number("energy of the SRAM for input activations", "pJ"),
    "output_sram_energy_pj": number("energy of the SRAM for outputs", "pJ"),
    "unpack_energy_pj": number("energy of unpacking compressed weights", "pJ"),
    "dram_energy_pj": number("energy of DRAM", "pJ"),
    "leakage_energy_pj": number("energy that leaks", "pJ"),
    "array_mm2": number("area of the array", "mm2"),
    "area_mm2": number("area of the array and its SRAMs", "mm2"),
}

# What a hardware result says of itself beside numbers.
ABOUT = {
    REASON: note("why the network has no numbers on this accelerator"),
    "hardware": note("all that the simulation depends on, and its code's commit, as JSON"),
}

# All columns of hardware results, but for those that compare.
HARDWARE_COLUMNS = DESIGN | SIMULATED | ABOUT

# How names of columns start that compare with another design, whose name follows.
COMPARISONS = {
    "speedup_vs_": number("how many times faster than int8 weights on DESIGN", "x"),
    "energy_gain_vs_": number("how many times less energy than int8 weights on DESIGN", "x"),
}


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
