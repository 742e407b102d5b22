"""A small disk that can be full or read-only: a file system in memory, if mounting is allowed."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_PLENTY = "512m"


@dataclass
class Disk:
    """A folder; it is a separate file system if ``mounted``."""

    folder: Path
    mounted: bool = False

    def __enter__(self) -> Disk:
        self.folder.mkdir(parents=True)
        self.mounted = os.geteuid() == 0 and self._mount("-t", "tmpfs", "-o", f"size={_PLENTY}", "tmpfs")
        return self

    def __exit__(self, *_: object) -> None:
        if self.mounted:
            subprocess.run(["umount", "--lazy", self.folder], check=False, capture_output=True)

    def fill(self, free: int) -> None:
        """Leave only ``free`` bytes free."""
        used = sum(
            -(-path.stat().st_size // 4096) * 4096 for path in self.folder.rglob("*") if path.is_file()
        )
        self._mount("-o", f"remount,size={max(used + free, 4096)}")  # a size of 0 would remove the limit

    def protect(self) -> bool:
        """Make the disk read-only; return whether that succeeded, which open files may prevent."""
        if self.mounted:
            return any(self._mount("-o", "remount,ro") for _ in range(20))
        for folder in self._folders():
            folder.chmod(0o555)
        return True

    def release(self) -> None:
        """Make the disk large and writable again."""
        if self.mounted:
            if not self._mount("-o", f"remount,rw,size={_PLENTY}"):
                raise RuntimeError(f"{self.folder} cannot be made writable again")
        else:
            for folder in self._folders():
                folder.chmod(0o755)

    def empty(self) -> None:
        """Delete all files."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()

    def _folders(self) -> list[Path]:
        return [self.folder, *(path for path in self.folder.rglob("*") if path.is_dir())]

    def _mount(self, *options: str) -> bool:
        with suppress(OSError):
            command = ["mount", *options, self.folder]
            return subprocess.run(command, check=False, capture_output=True).returncode == 0
        return False
