"""The 8-bit quantizer alone: the other formats approximate its codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.powers_of_two import PowersOfTwo, ShiftSet


@dataclass(frozen=True)
class Int8(PowersOfTwo):
    """Every code of ``magnitude_bits`` bits and a sign is a level: 8 bits by default.

    >>> Int8().stored_bits(filters=1, filter_weights=16), Int8().level_bits
    (128, 7)
    """

    name: ClassVar[str] = "int8"
    formerly: ClassVar[str | None] = "base"
    has_shifts: ClassVar[bool] = False
    on_codes: ClassVar[bool] = False

    @property
    def label(self) -> str:
        return f"{self.magnitude_bits + 1}-bit"

    @property
    def title(self) -> str:
        return f"int{self.magnitude_bits + 1}"

    @property
    def level_bits(self) -> int:
        return self.magnitude_bits

    def shift_sets(self) -> list[ShiftSet]:
        return [tuple(range(self.magnitude_bits))]
