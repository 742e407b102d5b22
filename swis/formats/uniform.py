"""A uniform quantizer of N + 1 bits whose scale is fitted for every N: the strongest simple baseline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.powers_of_two import PowersOfTwo, ShiftSet


@dataclass(frozen=True)
class Uniform(PowersOfTwo):
    """A symmetric uniform quantizer of N bits and a sign, with the clip of least squared error.

    >>> Uniform(shifts=3).code_bits, Uniform(shifts=3).stored_bits(filters=1, filter_weights=16)
    (3, 64)
    """

    name: ClassVar[str] = "uniform"
    on_codes: ClassVar[bool] = False
    own_quantizer: ClassVar[bool] = True

    @property
    def title(self) -> str:
        return f"uniform ({self.shifts + 1:g}-bit)"

    @property
    def code_bits(self) -> int:
        return self.shifts

    @property
    def code_clip(self) -> str:
        return "mse"

    def shift_sets(self) -> list[ShiftSet]:
        return [tuple(range(self.shifts))]
