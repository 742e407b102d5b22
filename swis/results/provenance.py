"""Provenance: the code and the machine that compute, for every table and checkpoint."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("swis", "torch", "torchvision", "timm", "numpy", "numba", "pandas", "scipy", "safetensors")

# The arguments of git status that leave out results/: new results are no change of the code.
_CHANGES = ("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that numbers may depend on."""
    return {name: metadata.version(name) for name in _PACKAGES}


@cache
def provenance() -> dict[str, Any]:
    """Return the commit, whether it has uncommitted changes, the package versions, and the machine."""
    import torch  # imported here, because reading rows does not need it

    folder = Path(__file__).parent
    commit = _git(folder, "rev-parse", "HEAD")
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return {
        "git_commit": commit,
        "git_dirty": None if commit is None else bool(_git(folder, *_CHANGES)),
        "packages": json.dumps(package_versions()),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}{gpu}",
    }


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", folder, *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None  # an installed package has no repository
    return done.stdout.strip()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or "unknown processor"
