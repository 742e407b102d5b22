"""Time to read a results folder with many rows: python benchmarks/records.py [ROWS] (100,000 by default)

The rows are copies of the row of results/calibration with the longest configuration, with different keys,
numbers, configurations and predictions. The hardware results are copies of one of results/first_table. First,
a hundredth of the rows are read from single-row files. Then all rows are read from a compacted file, in a new
process each time; the best of three counts. Last, single rows are read by their keys. "cpu" is the time of
all cores together.
"""

import base64
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from swis.results import hardware_results, records, rows
from swis.results.compaction import compact
from swis.results.parquet_files import write_rows
from swis.results.store import Store, in_order
from swis.runtime.files import write_atomically

RESULTS = Path(__file__).parents[1] / "results"
RANDOM = np.random.default_rng(0)


def main(count: int) -> None:
    """Measure and print the table."""
    table = _rows(count)
    print(f"{count} rows of {table.memory_usage(deep=True).sum() / count / 1000:.1f} kB, in milliseconds")
    print(f"{'':44}{'wall':>10}{'cpu':>10}")
    with tempfile.TemporaryDirectory() as name:
        folder, few = Path(name), table.iloc[: count // 100]
        store = rows.store(folder)
        for place in range(len(few)):
            store.write(few["key"].iloc[place], few.iloc[[place]])
        _report("load_table, a row in its own file", _time(lambda: _table(folder)), len(few))
        _report("compact, a row in its own file", _time(lambda: compact(folder)), len(few))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(table, rows.store(folder))
        _report("load_table, rows", _load(folder))
        _write(_results(table["key"]), hardware_results.store(folder))
        _report("load_table, rows and hardware results", _load(folder))
        keys = RANDOM.choice(table["key"], 101)
        _report("read_row, the first", _time(lambda: records.read_row(keys[0], folder)))
        _report("read_row, another", _time(lambda: [records.read_row(key, folder) for key in keys[1:]]), 100)


def _rows(count: int) -> pd.DataFrame:
    table = records.load_table(RESULTS / "calibration", records.COLUMNS)
    row = table.loc[[table["config"].str.len().idxmax()]]
    images = row["images"].item()
    return pd.concat([row] * count, ignore_index=True).assign(
        key=[records.digest(number) for number in range(count)],
        bits=RANDOM.integers(1, 8, count).astype(float),
        top1=RANDOM.uniform(0, 100, count),
        seconds=RANDOM.uniform(1, 100, count),
        config=[f'{row["config"].item()[:-1]}, "number": {number}}}' for number in range(count)],
        correct=[base64.b64encode(RANDOM.bytes(images // 8)).decode() for _ in range(count)],
    )


def _results(keys: pd.Series) -> pd.DataFrame:
    table = records.load_table(RESULTS / "first_table", "all").dropna(subset="accelerator")
    result = table.iloc[[0]].drop(columns=list(records.COLUMNS))
    latency = RANDOM.uniform(1, 100, len(keys))
    whole = pd.concat([result] * len(keys), ignore_index=True).assign(key=keys, latency_ms=latency)
    return whole.assign(name=[f"{key}.{records.digest(0)}" for key in keys])


def _write(table: pd.DataFrame, store: Store) -> None:
    """Write a compacted file directly, because many single-row files would take long."""
    whole = in_order(store.conform(pa.Table.from_pandas(table, preserve_index=False)), store.order)
    write_atomically(store.folder / "rows-benchmark.parquet", lambda path: write_rows(whole, path))


def _load(folder: Path) -> tuple[float, float]:
    return min(_in_new_process(_time_load, folder) for _ in range(3))


def _in_new_process(task: Callable[[Path], tuple[float, float]], folder: Path) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(task, folder).result()


def _time_load(folder: Path) -> tuple[float, float]:
    return _time(lambda: _table(folder))


def _table(folder: Path) -> pd.DataFrame:
    return records.load_table(folder, "all")


def _time(task: Callable[[], object]) -> tuple[float, float]:
    before = os.times()
    task()
    after = os.times()
    return after.elapsed - before.elapsed, after.user + after.system - before.user - before.system


def _report(name: str, times: tuple[float, float], count: int = 1) -> None:
    print(f"{name:44}" + "".join(f"{1000 * seconds / count:10.1f}" for seconds in times), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)
