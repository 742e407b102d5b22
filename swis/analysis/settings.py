"""Settings of rows that have no column and are read from the column ``config``."""

from __future__ import annotations

import json

import pandas as pd

from swis.options.option import renamed
from swis.options.scheduling import ScheduleConfig


def schedule_setting(rows: pd.DataFrame, name: str) -> pd.Series:
    """Return an option of every row's schedule by its present name; null for rows without a schedule.

    >>> rows = pd.DataFrame({"config": ['{"schedule": {"price": "macs"}}', "{}"]})
    >>> schedule_setting(rows, "budget_unit").fillna("-").tolist()
    ['macs', '-']
    """

    def value(config: str) -> str | None:
        return renamed(json.loads(config).get("schedule", {}), ScheduleConfig).get(name)

    return rows["config"].map(value)
