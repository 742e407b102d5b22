"""Where tables of results are: folders of rows, of simulated networks, of storage; and how they are read."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from pyarrow.parquet import read_schema

from swis.errors import InputError
from swis.results.records import load_simulated, load_storage, load_table

_ROOT = Path(__file__).parents[2] / "results"


@dataclass(frozen=True)
class Source:
    """A table, and the ``code`` that makes it."""

    table: pd.DataFrame
    code: str = "table = ...  # your rows"

    @classmethod
    def of(cls, given: Any) -> Source:
        """Return a table, or that of a folder of results: rows that did not fail, with all columns.

        Columns are called by texts, and rows are counted from 0. Raises ``InputError`` for anything else.

        >>> Source.of(pd.DataFrame({0: [1.0]})).table["0"].tolist()
        [1.0]
        """
        if isinstance(given, pd.DataFrame):
            code, table = cls.code, given
            if not all(isinstance(name, str) for name in table):
                code += "\ntable = table.rename(columns=str)"
        elif isinstance(given, str | Path):
            code, table = _read(Path(given))
        else:
            kind = type(given).__name__
            raise InputError(f"a table is a DataFrame of pandas or a folder of results, not {kind}")
        return cls(table.rename(columns=str).reset_index(drop=True), code)


def _read(folder: Path) -> tuple[str, pd.DataFrame]:
    path = min(os.path.relpath(folder), str(folder.resolve()), key=len)  # from where the code will run
    tables = sorted(folder.glob("*.parquet"))
    if tables and not any(folder.glob("rows-*.parquet")):
        reader = load_simulated if "accelerator" in read_schema(tables[0]).names else load_storage
        code = (
            f"from swis.results.records import {reader.__name__}\n\ntable = {reader.__name__}({quoted(path)})"
        )
        return code, reader(folder)
    table = load_table(folder, "all")
    code = f"""table = swis.load_table({quoted(path)}, "all").query("status == 'ok'")"""
    return code, table[table["status"] == "ok"]


def quoted(text: str) -> str:
    """Return a text as code.

    >>> quoted('a "b"')
    '"a \\\\"b\\\\""'
    """
    return json.dumps(text, ensure_ascii=False)


def folders() -> dict[str, Path]:
    """Return the folders of results/ that have tables, by what they are called.

    They are those of the repository and of the folder that Python runs in.
    """
    found = {}
    for root in dict.fromkeys((_ROOT, Path("results").resolve())):
        for path in sorted({each.parent for each in root.glob("**/*.parquet")}):
            if not path.name.startswith("_"):  # hardware results, which come with their rows
                found[f"results/{path.relative_to(root)}"] = path
    return found
