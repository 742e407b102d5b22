"""What code on which machine computes, for every table and checkpoint to say."""

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

# Results that are made again are no change of the code that makes them.
_CHANGES = ("status", "--porcelain", "-uno", "--", ":/", ":(top,exclude)results")


@cache
def package_versions() -> dict[str, str]:
    """Return the versions of the packages that numbers may depend on."""
    return {name: metadata.version(name) for name in _PACKAGES}


@cache
def provenance() -> dict[str, Any]:
    """Say what code on which machine computes: commit, dirty tree, package versions, hardware."""
    import torch  # here, for rows are read without it

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
