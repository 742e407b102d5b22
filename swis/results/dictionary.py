"""The dictionary of columns: the meaning and unit of every column of rows and hardware results."""

from __future__ import annotations

import pandas as pd

from swis.results.columns import HELD_OUT_RESULTS, PROVENANCE, RESULTS, SCHEDULE_RESULTS, SETTINGS
from swis.results.hardware_results import ABOUT, COMPARISONS, DESIGN, SIMULATED

_GROUPS = {
    "setting": SETTINGS,
    "result": RESULTS,
    "schedule": SCHEDULE_RESULTS,
    "held_out": HELD_OUT_RESULTS,
    "design": DESIGN,
    "hardware": SIMULATED | {f"{start}DESIGN": column for start, column in COMPARISONS.items()},
    "provenance": PROVENANCE | ABOUT,
}


def columns() -> pd.DataFrame:
    """Return a table with the unit, meaning and group of every column of ``swis.load_table``.

    The index is the column's name. The unit is empty for texts, truth values and pure numbers. DESIGN in a
    name stands for the name of the accelerator that is compared with.

    >>> columns().loc["latency_ms"].to_dict()
    {'unit': 'ms', 'meaning': 'time per image', 'group': 'hardware'}
    """
    entries = [
        {"name": name, "unit": column.unit, "meaning": column.meaning, "group": group}
        for group, known in _GROUPS.items()
        for name, column in known.items()
    ]
    return pd.DataFrame(entries).set_index("name")
