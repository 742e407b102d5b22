"""swis.runtime.memory: freed memory is used again."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource, sys
import numpy as np
from swis.runtime.memory import keep_freed_memory

if sys.argv[1] == "kept":
    assert keep_freed_memory()
for number in range(21):
    if number == 1:  # the first array has allocated the pages
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(8 << 20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(argument):
    done = subprocess.run([sys.executable, "-c", FAULTS, argument], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_arrays_need_no_fresh_pages():
    # with huge pages the second number is small as well, but never smaller than the first
    assert page_faults("kept") < 100
    assert page_faults("freed") >= page_faults("kept")
