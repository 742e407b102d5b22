"""The dictionary of columns: what rows of results and their hardware results say, and in which units."""

from __future__ import annotations

import pandas as pd

from swis.results.columns import PROVENANCE, RESULTS, SCHEDULE_RESULTS, SETTINGS
from swis.results.hardware_results import ABOUT, COMPARISONS, DESIGN, SIMULATED

_GROUPS = {
    "setting": SETTINGS,
    "result": RESULTS,
    "schedule": SCHEDULE_RESULTS,
    "design": DESIGN,
    "hardware": SIMULATED | {f"{start}DESIGN": column for start, column in COMPARISONS.items()},
    "provenance": PROVENANCE | ABOUT,
}


def columns() -> pd.DataFrame:
    """Return what every column of ``swis.load_table`` means: a line per name with unit, meaning and group.

    A unit is empty where there is none. DESIGN in a name stands for an accelerator that is compared with.

    >>> columns().loc["latency_ms"].to_dict()
    {'unit': 'ms', 'meaning': 'time of an image', 'group': 'hardware'}
    """
    lines = [
        {"name": name, "unit": column.unit, "meaning": column.meaning, "group": group}
        for group, known in _GROUPS.items()
        for name, column in known.items()
    ]
    return pd.DataFrame(lines).set_index("name")
