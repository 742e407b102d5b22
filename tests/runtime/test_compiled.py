"""Other processes reuse compiled functions, but only those of the same source code."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import ROOT

# A process prints a value, how many functions it read from the cache, and how many it compiled.
SOURCE = """
import numpy as np
from swis.encoding.metrics import filter_metrics
from swis.runtime import compiled
codes = np.arange(8, dtype=np.int8).reshape(1, 8)
value = filter_metrics(codes, codes // 2 * 2, 4, 1.0)
stats = filter_metrics.stats
print(value[0], sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def printed(cache: Path | str, package: Path = ROOT) -> list[str]:
    """Return what a process prints that stores its machine code in the folder ``cache``."""
    env = os.environ | {"NUMBA_CACHE_DIR": str(cache), "PYTHONPATH": str(package)}
    done = subprocess.run([sys.executable, "-c", SOURCE], env=env, capture_output=True, text=True, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.fixture(scope="module")
def expected() -> str:
    from swis.encoding.metrics import filter_metrics

    codes = np.arange(8, dtype=np.int8).reshape(1, 8)
    return str(filter_metrics(codes, codes // 2 * 2, 4, 1.0)[0])


def test_another_process_finds_the_code_unless_it_is_damaged(tmp_path, expected):
    assert printed(tmp_path) == [expected, "0", "1"]
    assert printed(tmp_path) == [expected, "1", "0"]
    for path in tmp_path.rglob("*.nb?"):
        path.write_bytes(path.read_bytes()[:10])
    assert printed(tmp_path) == [expected, "0", "1"]
    assert printed(tmp_path) == [expected, "1", "0"]


def test_a_change_in_another_file_of_the_package_is_noticed(tmp_path, expected):
    package = tmp_path / "copy"
    shutil.copytree(ROOT / "swis", package / "swis", ignore=shutil.ignore_patterns("__pycache__", "assets"))
    assert printed(tmp_path / "code", package) == [expected, "0", "1"]
    assert printed(tmp_path / "code", package) == [expected, "1", "0"]
    os.utime(package / "swis" / "encoding" / "search" / "simd.py", (1, 1))
    assert printed(tmp_path / "code", package) == [expected, "0", "1"]


# Two signatures of one function, compiled by two processes at the same time.
TOGETHER = """
import sys, time
import numpy as np
from swis.encoding.metrics import filter_metrics
codes = np.arange(8, dtype=sys.argv[1]).reshape(1, 8)
while time.time() < float(sys.argv[2]):
    pass
value = filter_metrics(codes, codes // 2 * 2, 4, 1.0)[0]
print(value, sum(filter_metrics.stats.cache_hits.values()))
"""


def test_processes_that_compile_at_once_do_not_mix_their_code(tmp_path, expected):
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}

    def run(start: float) -> list[list[str]]:
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", TOGETHER, kind, str(start)], env=env, stdout=subprocess.PIPE, text=True
            )
            for kind in ("int8", "int16", "int32")
        ]
        return [process.communicate()[0].split() for process in processes]

    assert run(time.time() + 5) == [[expected, "0"]] * 3
    assert run(0) == [[expected, "1"]] * 3


def test_only_old_code_of_this_package_is_deleted(tmp_path):
    old, foreign = tmp_path / "swis" / ("0" * 16), tmp_path / "swis" / "thesis"
    for folder in (old, foreign, tmp_path / "other"):
        folder.mkdir(parents=True)
        os.utime(folder, (1, 1))
    printed(tmp_path)
    assert not old.exists()
    assert foreign.exists()
    assert (tmp_path / "other").exists()


def test_everything_runs_without_a_writable_cache(expected):
    assert printed("/proc/none") == [expected, "0", "1"]
