"""Checksums of files, so that damage on disk is never read as a result."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

# The seal is a checksum before the footer of a Parquet file, where no reader looks. Parquet has checksums of
# pages, but none of the footer.
_MARK = b"swis sha256 "
_SEAL = len(_MARK) + hashlib.sha256().digest_size
_PIECE = 1 << 20

# The name in the footer for the seal's position: a file with this name must have a seal.
SEALED = "swis.sealed"


def of_tensors(tensors: Mapping[str, Tensor], about: bytes = b"") -> str:
    """Return a checksum of named tensors, their types, their shapes, and the bytes ``about`` them.

    >>> import torch
    >>> of_tensors({"x": torch.ones(2)}) == of_tensors({"x": torch.ones(2, 1)})
    False
    """
    import torch  # imported here, because reading rows does not need it

    digest = hashlib.sha256(about)
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.contiguous().view(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def check_parts(path: Path) -> None:
    """Raise ``ValueError`` if a part of a file from ``torch.save`` is damaged: torch does not check this."""
    with zipfile.ZipFile(path) as parts:
        if (damaged := parts.testzip()) is not None:
            raise ValueError(f"the checksum of {damaged} does not match its contents")


def seal(path: Path) -> None:
    """Add a checksum of all bytes to a Parquet file; other readers ignore it."""
    with path.open("rb+") as file:
        size = file.seek(0, 2)
        digest = _digest(file, size, size)
        footer = file.seek(seal_place(file) + _SEAL)
        rest = file.read()
        file.seek(footer)
        file.write(_MARK + digest + rest)


def is_sealed(file: Any) -> bool:
    """Return whether an open Parquet file has a seal; raise ``ValueError`` if it does not match the contents.

    >>> import io
    >>> is_sealed(io.BytesIO(b"PAR1 no seal"))
    False
    """
    place = seal_place(file)
    if place < 0:
        return False
    file.seek(place)
    found = file.read(_SEAL)
    if not found.startswith(_MARK):
        return False
    if found[len(_MARK) :] != _digest(file, place, file.seek(0, 2)):
        raise ValueError("is damaged: its checksum does not match its contents")
    return True


def seal_place(file: Any) -> int:
    """Return the position that a seal has in an open Parquet file; below 0 if it is no Parquet file."""
    size = file.seek(0, 2)
    file.seek(max(0, size - 8))
    length = int.from_bytes(file.read(4), "little")
    return size - 8 - length - _SEAL


def _digest(file: Any, end: int, size: int) -> bytes:
    """Return the checksum of a file of ``size`` bytes without the seal that starts at ``end``."""
    digest = hashlib.sha256()
    file.seek(0)
    for start, stop in ((0, end), (min(end + _SEAL, size), size)):
        file.seek(start)
        while start < stop:
            piece = file.read(min(_PIECE, stop - start))
            digest.update(piece)
            start += len(piece)
    return digest.digest()
