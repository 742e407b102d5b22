"""Kinds of damage to the bytes of a file."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

_BLOCK = 512

Damage = Callable[[bytes, Random], bytes]


def bit(content: bytes, random: Random) -> bytes:
    """Flip one bit."""
    changed = bytearray(content)
    changed[random.randrange(len(content))] ^= 1 << random.randrange(8)
    return bytes(changed)


def burst(content: bytes, random: Random) -> bytes:
    """Replace some successive bytes by random ones."""
    start, length = random.randrange(len(content)), random.randint(2, 256)
    noise = random.randbytes(min(length, len(content) - start))
    return content[:start] + noise + content[start + len(noise) :]


def zeros(content: bytes, random: Random) -> bytes:
    """Set some blocks of a disk to zero."""
    start = random.randrange(len(content)) // _BLOCK * _BLOCK
    stop = min(start + _BLOCK * random.randint(1, 8), len(content))
    return content[:start] + bytes(stop - start) + content[stop:]


def cut(content: bytes, random: Random) -> bytes:
    """Cut off the end of the file."""
    return content[: random.randrange(len(content))]


def hole(content: bytes, random: Random) -> bytes:
    """Remove some bytes within the file."""
    start = random.randrange(len(content))
    return content[:start] + content[start + random.randint(1, 64) :]


def more(content: bytes, random: Random) -> bytes:
    """Append bytes, or insert some within the file."""
    start = random.choice([len(content), random.randrange(len(content))])
    added = random.choice([bytes, random.randbytes])(random.randint(1, 4096))
    return content[:start] + added + content[start:]


def ends(content: bytes, random: Random) -> bytes:
    """Change one or more of the first or last 600 bytes, where headers and footers are."""
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
