"""Hardware results: cycles, energy and area of an accelerator for the network of a row of results."""

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

# Increased when the simulation changes its results: older hardware results are then ignored.
HARDWARE_VERSION = 3

# The column with the reason why a hardware result has no numbers.
REASON = "hardware_error"

# The array and the memory of an accelerator.
ARRAY = {
    "rows": number("rows of the array of processing elements (PEs)", "PEs"),
    "columns": number("columns of the array of processing elements (PEs)", "PEs"),
    "lanes": number("terms of a dot product that a PE takes at once", "lanes"),
    "groups_share_lanes": flag("whether the lanes of a PE may work on different groups"),
    "systolic": flag("whether operands pass from PE to PE, which costs cycles to fill the array"),
    "side_by_side": flag("whether the channels of a depthwise layer run on the array together"),
    "spread_fc": flag("whether a layer with one output pixel spreads its filters over columns too"),
    "frequency_mhz": number("clock frequency", "MHz"),
    "dram_bits_per_cycle": number(
        "DRAM bandwidth: bits read or written per cycle of the array", "bits/cycle"
    ),
    "weight_sram_bytes": number("size of the weight SRAM", "bytes"),
    "input_sram_bytes": number("size of the SRAM for input activations", "bytes"),
    "output_sram_bytes": number("size of the SRAM for output activations", "bytes"),
}
# The accelerator that was simulated for a row, and its energy table.
DESIGN = {
    "accelerator": note("name of the simulated accelerator"),
    "energy_table": note("name of the table of energies and areas"),
    "dram_pj_per_bit": number("energy to read one bit from DRAM, or to write it", "pJ/bit"),
    **ARRAY,
}

# What that accelerator takes for one image.
SIMULATED = {
    "latency_cycles": number("cycles per image, including stalls", "cycles"),
    "stall_cycles": number("cycles per image in which the array waits for memory", "cycles"),
    "latency_ms": number("time per image", "ms"),
    "frames_per_s": number("images per second, one image at a time", "frames/s"),
    "utilization": number("share of all lane cycles that do necessary work"),
    "dram_bytes": number("DRAM traffic per image", "bytes"),
    "weight_dram_bytes": number("DRAM traffic of the weights per image", "bytes"),
    "energy_pj": number("total energy per image", "pJ"),
    "frames_per_j": number("images per joule", "frames/J"),
    "datapath_energy_pj": number("energy of the PEs per image", "pJ"),
    "register_energy_pj": number("energy of the registers between PEs per image", "pJ"),
    "weight_sram_energy_pj": number("energy of the weight SRAM per image", "pJ"),
    "input_sram_energy_pj": number("energy of the SRAM for input activations per image", "pJ"),
    "output_sram_energy_pj": number("energy of the SRAM for output activations per image", "pJ"),
    "unpack_energy_pj": number("energy to unpack compressed weights per image", "pJ"),
    "dram_energy_pj": number("energy of the DRAM per image", "pJ"),
    "leakage_energy_pj": number("leakage energy per image", "pJ"),
    "array_mm2": number("area of the array", "mm2"),
    "area_mm2": number("area of the array and its SRAMs", "mm2"),
}

# The columns of a hardware result that are no numbers.
ABOUT = {
    REASON: note("reason why the network has no numbers on this accelerator"),
    "hardware": note("everything that the simulation depends on, and the code's commit, as JSON"),
}

# All columns of hardware results, without the comparisons.
HARDWARE_COLUMNS = DESIGN | SIMULATED | ABOUT

# Columns that compare with another design: the design's name follows this prefix.
COMPARISONS = {
    "speedup_vs_": number("latency of DESIGN with int8 weights divided by this latency", "x"),
    "energy_gain_vs_": number("energy of DESIGN with int8 weights divided by this energy", "x"),
}


def store(folder: Path) -> Store:
    """Return the store of a folder's hardware results; the row's key and a digest of the facts name each."""
    # the underscore hides the folder from readers that open results_dir as one parquet data set
    return Store(folder / "_hardware", "name", ("name",), _conform, repeated=("hardware",))


def write_hardware(
    columns: dict[str, Any], identity: dict[str, Any], versus: dict[str, Any], key: str, folder: Path
) -> None:
    """Store the hardware result ``columns`` of the row ``key``; ``identity`` is what the result depends on.

    ``versus`` has the designs that ``columns`` compare with, and the facts of each. Raises ``CannotWrite``.
    """
    commit = {name: value for name, value in provenance().items() if not _is_fact(name)}
    text = json.dumps(identity | {"versus": versus} | commit)
    store(folder).write(_name(key, identity), pd.DataFrame([{"key": key} | columns | {"hardware": text}]))


def read_hardware(
    key: str, identity: dict[str, Any], versus: dict[str, Any], folder: Path
) -> pd.DataFrame | None:
    """Return a stored hardware result if it compares with the designs in ``versus``, else None.

    The result has the comparison columns of these designs only. A damaged file is set aside.
    """
    found = _find(key, identity, folder)
    if found is None or not versus.items() <= _versus(found).items():
        return None
    frame = texts(_to_frame(found))
    own = [name for name in frame if "_vs_" not in name]
    return frame[own + [name for design in versus for name in frame if name.endswith(f"_vs_{design}")]]


def compared(key: str, identity: dict[str, Any], folder: Path) -> Collection[str]:
    """Return the designs that a stored result is compared with; none if there is no such result."""
    found = _find(key, identity, folder)
    return [] if found is None else [*_versus(found)]


def all_hardware(folder: Path) -> tuple[pd.DataFrame | None, Found]:
    """Return all results of this version in order (None if there are none), and what was read from files.

    The column "hardware" is categorical because its long texts repeat; see ``texts``.
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
    """Return the table with the column "hardware" as text instead of categories.

    >>> table = pd.DataFrame({"hardware": pd.Categorical(["{}", None])})
    >>> texts(table)["hardware"].dtype
    <StringDtype(na_value=nan)>
    """
    column = table["hardware"].cat
    # astype would make a Python object for every row
    categories, codes = column.categories.astype("str").array, column.codes.to_numpy()
    return table.assign(hardware=categories.take(codes, allow_fill=True))


def _find(key: str, identity: dict[str, Any], folder: Path) -> pa.Table | None:
    return next(store(folder).find(_name(key, identity)), None)


def _name(key: str, identity: dict[str, Any]) -> str:
    return f"{key}.{digest(identity)}"


def _is_fact(name: str) -> bool:
    """Return whether a fact is part of a result's name; the comparisons and the commit are not."""
    return name != "versus" and not name.startswith("git")


def _versus(result: pa.Table) -> dict[str, Any]:
    return json.loads(result["hardware"][0].as_py())["versus"]


def _to_frame(results: pa.Table) -> pd.DataFrame:
    return results.drop_columns("name").unify_dictionaries().to_pandas()


def _conform(table: pa.Table) -> pa.Table:
    """Check that a table has hardware results, and add the column "name" where it is missing."""
    for name in ("key", "accelerator", "hardware"):
        if name not in table.column_names or table[name].null_count:
            raise ValueError(f"has no value of {name}")
    texts = table["hardware"].cast(pa.dictionary(pa.int32(), pa.string()))
    known = {text for chunk in texts.chunks for text in chunk.dictionary.to_pylist()}
    identity = {text: _facts(text) for text in known}
    table = table.set_column(table.column_names.index("hardware"), "hardware", texts)
    if "name" in table.column_names:
        return table
    names = map(_name, table["key"].to_pylist(), (identity[text] for text in texts.to_pylist()))
    return table.append_column("name", pa.array(names, pa.string()))


def _facts(text: str) -> dict[str, Any]:
    """Return the facts in a text of the column "hardware" that a result depends on."""
    try:
        entries = json.loads(text)
        if {"version", "versus"} <= entries.keys():
            return {name: value for name, value in entries.items() if _is_fact(name)}
    except (ValueError, AttributeError):  # not JSON, or not a JSON object
        pass
    raise ValueError('has no valid JSON in the column "hardware"')
