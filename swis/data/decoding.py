"""Decoding of images to 8 bits per value, from files of many formats and bit depths."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, UnidentifiedImageError

from swis.errors import DamagedImage

# TIFF tags that describe its values.
_BITS, _WHITE_IS_ZERO, _SIGN = 258, 262, 339


class _UnknownRange(ValueError):
    """An image whose values of black and white are not known."""


# Characters that end a line, control a terminal or change the direction of text.
_NOT_PRINTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def shown(path: str | Path) -> str:
    r"""Return a path as one line of printable text, for any bytes in its name.

    >>> shown(os.fsdecode(b"caf\xe9\n.png"))
    'caf\\xe9\\n.png'
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return _NOT_PRINTED.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def read_image(source: Path | np.ndarray, mode: str) -> Image.Image:
    """Return an image in PIL's ``mode`` "L" or "RGB".

    ``source`` is a path, or an array uint8 [H, W] or [H, W, 3]. Values of 16 bits are divided by 257 and
    rounded. The alpha channel is dropped, and colours stay as they are, as in PIL. Raises ``DamagedImage``
    with the path if the image cannot be decoded.

    >>> read_image(np.zeros((2, 3), np.uint8), "RGB").size
    (3, 2)
    """
    try:
        if isinstance(source, np.ndarray):
            return converted(Image.fromarray(source), mode)
        with source.open("rb") as file:
            return decoded_file(file, mode)
    except Exception as error:  # decoders raise many kinds of errors
        raise DamagedImage(f"{_named(source)} {fault(error)}") from error


def _named(source: Path | np.ndarray) -> str:
    return shown(source) if isinstance(source, Path) else f"an image of {source.dtype} {list(source.shape)}"


def decoded_file(file: BinaryIO, mode: str) -> Image.Image:
    """Return the decoded image of an open file; any error of the decoder is raised (see ``fault``)."""
    image = Image.open(file)
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        raise Image.DecompressionBombError(f"{pixels:,} pixels; the limit is {limit:,}")
    return converted(image, mode)


def fault(error: Exception) -> str:
    """Return a one-line description of the fault of an image that raised ``error``.

    >>> fault(OSError("image file is truncated"))
    'cannot be decoded (image file is truncated)'
    """
    if isinstance(error, _UnknownRange):
        return str(error)
    if isinstance(error, Image.DecompressionBombError):
        return f"is too large ({error})"
    if isinstance(error, UnidentifiedImageError):  # its text contains an address in memory
        return "cannot be decoded (its format is not known)"
    reason = next(iter(str(error).splitlines()), "") or type(error).__name__
    return f"cannot be decoded ({getattr(error, 'strerror', None) or reason})"


def converted(image: Image.Image, mode: str) -> Image.Image:
    """Return an image in ``mode`` "L" or "RGB"; values of more than 8 bits are scaled.

    >>> converted(Image.fromarray(np.array([[0, 32896, 65535]], np.uint16)), "L").tobytes()
    b'\\x00\\x80\\xff'
    """
    tags = getattr(image, "tag_v2", {}) if image.format == "TIFF" else {}
    bits, sign = tags.get(_BITS, (16,))[0], tags.get(_SIGN, (1,))[0]
    if image.mode == "F":
        raise _UnknownRange("has floating-point values, so that the value of white is not known")
    if sign == 2 and bits < 32:
        raise _UnknownRange(f"has signed values of {bits} bits, so that the value of white is not known")
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image.convert(mode)
    values = np.asarray(image).astype(np.int64)
    if image.mode == "I" and image.format != "PPM":  # Pillow scales PPM values to 16 bits
        _check_32_bits(values)
    white = 2 ** min(bits, 16) - 1
    scaled = (2 * 255 * values + white) // (2 * white)
    if tags.get(_WHITE_IS_ZERO) == 0:
        scaled = 255 - scaled
    return Image.fromarray(scaled.astype(np.uint8)).convert(mode)


def _check_32_bits(values: np.ndarray) -> None:
    """Raise ``_UnknownRange`` unless the 32-bit integers are clearly 16-bit values."""
    low, high = int(values.min()), int(values.max())
    if low < 0 or high > 65535:
        raise _UnknownRange(
            f"has 32-bit integers from {low} to {high}, so that the value of white is not known; "
            "values from 0 to 65535 are read as 16 bits"
        )
    if 0 < high < 256:
        raise _UnknownRange(f"has 32-bit integers up to {high}, which can be values of 8 bits or of 16 bits")
