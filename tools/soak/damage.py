"""Ways in which bytes of a file go wrong."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_BLOCK = 512

Damage = Callable[[bytes, Random], bytes]


def bit(content: bytes, random: Random) -> bytes:
    """Flip a bit."""
    changed = bytearray(content)
    changed[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(changed)


def burst(content: bytes, random: Random) -> bytes:
    """Draw some bytes in a row anew."""
    start, length = random.randrange(len(content)), random.randint(2, 256)
    drawn = random.randbytes(min(length, len(content) - start))
    return content[:start] + drawn + content[start + len(drawn) :]


def zeros(content: bytes, random: Random) -> bytes:
    """Let a block of a disk be zero."""
    start = random.randrange(len(content)) // _BLOCK * _BLOCK
    stop = min(start + _BLOCK * random.randint(1, 8), len(content))
    return content[:start] + bytes(stop - start) + content[stop:]


def cut(content: bytes, random: Random) -> bytes:
    """Leave out what comes after some byte."""
    return content[: random.randrange(len(content))]


def hole(content: bytes, random: Random) -> bytes:
    """Leave out some bytes in between."""
    start = random.randrange(len(content))
    return content[:start] + content[start + random.randint(1, 64) :]


def more(content: bytes, random: Random) -> bytes:
    """Append bytes, or put some in between."""
    start = random.choice([len(content), random.randrange(len(content))])
    drawn = random.choice([bytes, random.randbytes])(random.randint(1, 4096))
    return content[:start] + drawn + content[start:]


def ends(content: bytes, random: Random) -> bytes:
    """Change a byte or some of the first or last 600, where headers and footers are."""
    changed, near = bytearray(content), min(600, len(content))
    first = random.randrange(near)
    start = random.choice([first, first % 16, len(content) - 1 - first, len(content) - 1 - first % 16])
    for place in range(start, min(start + random.choice([1, 1, 2, 8]), len(content))):
        changed[place] = random.randrange(256)
    return bytes(changed)


DAMAGES: dict[str, Damage] = {
    "bits": bit,
    "bursts": burst,
    "zeroed blocks": zeros,
    "cuts": cut,
    "holes": hole,
    "more bytes": more,
    "headers and footers": ends,
}
