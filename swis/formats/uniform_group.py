"""A uniform quantizer whose step differs from group to group: the rival of SWIS at equal storage."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import ClassVar

from swis.formats.registry import register
from swis.formats.weight_format import LARGEST_JOINT_GROUP, WeightFormat
from swis.options.ranges import at_least, require, within


@register
@dataclass(frozen=True)
class UniformGroup(WeightFormat):
    """A symmetric uniform quantizer of N bits and a sign, with a step of its own for each group of weights.

    The step of a group is m steps of the filter's quantizer, m = 1, 2, ..., so the levels are 0, m, ...,
    (2^N - 1) m. A group of ``scale_group`` weights stores m in a few bits; a last, shorter group has no
    padding. ``group_size``, which says how SWIS cuts filters into groups, is not used. Known from GPTQ, QLoRA
    (a scale of scales) and the k-quants of llama.cpp.

    >>> UniformGroup(shifts=2, magnitude_bits=4).level_sets()
    ((0, 1, 2, 3), (0, 2, 4, 6), (0, 3, 6, 9), (0, 4, 8, 12), (0, 5, 10, 15))
    >>> UniformGroup(shifts=2, scale_group=32).stored_bits(filters=1, filter_weights=64)  # 64 * 3 + 2 * 6
    204
    """

    scale_group: int = 32

    name: ClassVar[str] = "uniform_group"
    grouped: ClassVar[bool] = True
    scaled_groups: ClassVar[bool] = True
    padded: ClassVar[bool] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        within(1, self.magnitude_bits, shifts=self.shifts)
        whole = isinstance(self.scale_group, Integral) and not isinstance(self.scale_group, bool)
        require(whole, f"scale_group must be a whole number, not {self.scale_group!r}")
        object.__setattr__(self, "scale_group", int(self.scale_group))
        at_least(1, scale_group=self.scale_group)
        require(
            self.selection != "joint" or self.scale_group <= LARGEST_JOINT_GROUP,
            f"selection=joint needs a scale_group of at most {LARGEST_JOINT_GROUP}, not {self.scale_group}",
        )

    @property
    def label(self) -> str:
        return "uniform by groups"

    @property
    def title(self) -> str:
        return f"uniform_group ({self.shifts + 1:g}-bit)"

    @property
    def weights_per_group(self) -> int:
        return self.scale_group

    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        steps = range(2**self.shifts)
        largest = (2**self.magnitude_bits - 1) // steps[-1]
        return tuple(tuple(m * step for step in steps) for m in range(1, largest + 1))
