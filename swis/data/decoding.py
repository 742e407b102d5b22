"""One image of 8 bits per value, whatever the file's kind and depth are."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from swis.errors import DamagedImage

# Tags of TIFF that say what its numbers mean.
_BITS, _WHITE_IS_ZERO, _SIGN = 258, 262, 339


class _UnknownRange(ValueError):
    """The numbers of an image do not say which of them are black and white."""


# Characters that end a line, command a terminal or turn the direction of writing.
_NOT_PRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def shown(path: str | Path) -> str:
    r"""Return a path that can be printed in one line, whatever bytes its name is made of.

    >>> shown(os.fsdecode(b"caf\xe9\n.png"))
    'caf\\xe9\\n.png'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _NOT_PRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def read_image(source: Path | np.ndarray, mode: str) -> Image.Image:
    """Return an image in PIL's ``mode`` "L" or "RGB"; raise ``DamagedImage``, with its path, if that fails.

    Values of 16 bits are divided by 257 and rounded. Alpha is left out and its colours stay, as in PIL.
    """
    try:
        if isinstance(source, np.ndarray):
            return converted(Image.fromarray(source), mode)
        with source.open("rb") as file:
            return decoded_file(file, mode)
    except Exception as error:  # decoders raise nearly anything
        raise DamagedImage(f"{_named(source)} {fault(error)}") from error


def _named(source: Path | np.ndarray) -> str:
    return shown(source) if isinstance(source, Path) else f"an image of {source.dtype} {list(source.shape)}"


def decoded_file(file: BinaryIO, mode: str) -> Image.Image:
    """Decode all of an open image file; what a decoder raises is handed on, see ``fault``."""
    image = Image.open(file)
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise Image.DecompressionBombError(f"{pixels:,} pixels, and more than {limit:,} are not decoded")
    return converted(image, mode)


def fault(error: Exception) -> str:
    """Say in one line what is wrong with an image that raised ``error``.

    >>> fault(OSError("image file is truncated"))
    'is not a whole image (image file is truncated)'
    """
    if isinstance(error, _UnknownRange):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"is too large ({error})"
    if isinstance(error, UnidentifiedImageError):  # its text names an object in memory
        return "is not a whole image (its format is not known)"
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"is not a whole image ({getattr(error, 'strerror', None) or reason})"


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in ``mode`` "L" or "RGB", its values of more than 8 bits scaled.

    >>> converted(Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)), "L").tobytes()
    b'\\x00\\x80\\xff'
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits, sign = tags.get(_BITS, (16,))[0], tags.get(_SIGN, (1,))[0]
    if image.mode == "F":
        raise _UnknownRange("holds floating-point numbers, which do not say what is white")
    if sign == 2 and bits < 32:
        raise _UnknownRange(f"holds signed numbers of {bits} bits, which do not say what is white")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image.convert(mode)
    values = np.asarray(image).astype(np.int64)
    if image.mode == "I" and image.format != "PPM":  # PPM's are 16 bits, whatever its header says
        _check_32_bits(values)
    white = 2 ** min(bits, 16) - 1
    scaled = (2 * 255 * values + white) // (2 * white)
    if tags.get(_WHITE_IS_ZERO) == 0:
        scaled = 255 - scaled
    return Image.fromarray(scaled.astype(np.uint8)).convert(mode)


def _check_32_bits(values: np.ndarray) -> None:
    """Raise unless integers of 32 bits can only be values of 16."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise _UnknownRange(
            f"holds 32-bit integers from {low} to {high}, which do not say what is white; "
            "up to 65535 they are read as 16 bits"
        )
    if 0 < high < 256:
        raise _UnknownRange(f"holds 32-bit integers up to {high}: they may be meant as 8 bits or as 16")
