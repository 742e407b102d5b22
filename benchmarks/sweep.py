"""Overhead of a sweep over its evaluations: python benchmarks/sweep.py model=... data.root=... [OVERRIDES].

By default the sweep is a grid of 100 points: bits x group sizes x alpha. The time of an evaluation is the
column ``seconds`` of its row: decomposing the network and running it on the images.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

import swis

ROOT = Path(__file__).parents[1]
GRID = ["bits=2,3,4,5", "group_size=2,4,8,16,32", "alpha=0,0.25,0.5,0.75,1", "methods=[swis]"]


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main(overrides: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = f"results_dir={folder}/runs"
        command = [sys.executable, ROOT / "run.py", "--multirun", *GRID, *overrides, runs]
        first = seconds(command)
        rows = swis.load_table(f"{folder}/runs", ["bits", "seconds"])
        again = seconds(command)
    points, evaluations = rows["bits"].notna().sum(), rows["seconds"].sum()
    table = {
        "points": points,
        "evaluations s": evaluations,
        "sweep s": first,
        "ratio": first / evaluations,
        "overhead per point s": (first - evaluations) / points,
        "again, nothing to do s": again,
    }
    print(pd.Series(table).map("{:.2f}".format).to_string())


if __name__ == "__main__":
    main(sys.argv[1:])
