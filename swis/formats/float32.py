"""Float weights: the reference of every accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from swis.formats.weight_format import FLOAT_BITS, WeightFormat


@dataclass(frozen=True)
class Float(WeightFormat):
    """Float weights of 32 bits: they are not quantized and take no bit-serial cycles.

    >>> Float().stored_bits(filters=1, filter_weights=16), Float().level_bits
    (512, 0)
    """

    name: ClassVar[str] = "float"
    quantized: ClassVar[bool] = False
    has_shifts: ClassVar[bool] = False
    on_codes: ClassVar[bool] = False

    @property
    def level_bits(self) -> int:
        return 0

    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        raise ValueError("float weights have no levels")

    def stored_bits(self, filters: int, filter_weights: int) -> int:
        return FLOAT_BITS * filters * filter_weights
