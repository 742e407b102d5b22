"""Compiled functions are found again by other processes, and never those of other sources."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

# What a process says: the value, and how many functions were read from the cache.
SOURCE = """
import numpy as np
from swis.encoding.metrics import filter_metrics
from swis.runtime import compiled
codes = np.arange(8, dtype=np.int8).reshape(1, 8)
value = filter_metrics(codes, codes // 2 * 2, 4, 1.0)
stats = filter_metrics.stats
print(value[0], sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def said(cache: Path | str, package: Path = ROOT) -> list[str]:
    """What a process says that keeps its code in a folder."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package)}
    done = subprocess.run([sys.executable, "-c", SOURCE], env=env, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def expected() -> str:
    from swis.encoding.metrics import filter_metrics

    codes = np.arange(8, dtype=np.int8).reshape(1, 8)
    return str(filter_metrics(codes, codes // 2 * 2, 4, 1.0)[0])


def test_another_process_finds_the_code(tmp_path, expected):
    assert said(tmp_path) == [expected, "0", "1"]
    assert said(tmp_path) == [expected, "1", "0"]


def test_damaged_code_is_compiled_anew(tmp_path, expected):
    said(tmp_path)
    for path in tmp_path.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:10])
    assert said(tmp_path) == [expected, "0", "1"]
    assert said(tmp_path) == [expected, "1", "0"]


def test_a_change_in_another_file_of_the_package_is_seen(tmp_path, expected):
    package = tmp_path / "copy"
    shutil.copytree(ROOT / "swis", package / "swis", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    assert said(tmp_path / "code", package) == [expected, "0", "1"]
    assert said(tmp_path / "code", package) == [expected, "1", "0"]
    os.utime(package / "swis" / "encoding" / "search" / "simd.py", (1, 1))
    assert said(tmp_path / "code", package) == [expected, "0", "1"]


def test_where_nothing_can_be_kept_everything_runs(expected):
    assert said("/proc/none") == [expected, "0", "1"]
