"""A weight format: the levels that weights may take, their bits in storage and their cycles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from html import escape
from itertools import pairwise
from typing import Any, ClassVar, Self

import numpy as np

from swis.errors import InputError
from swis.options.names import require_known
from swis.options.ranges import at_least, within

GRANULARITIES = ("tensor", "channel")
CLIPS = ("absmax", "mse")
SELECTIONS = ("nearest", "joint")
FLOAT_BITS = 32


@dataclass(frozen=True)
class WeightFormat(ABC):
    """How weights are approximated; a subclass for every format, in a file of its own.

    Weights are quantized to codes of ``magnitude_bits`` B bits and a sign first (``granularity``: a scale per
    "tensor" or "channel"; ``clip``: "absmax", or "mse", the clip of least squared error). Then every code
    takes one of the levels of its format. Where groups of ``group_size`` weights choose among candidate sets
    of levels, the set of least MSE++ wins, with the paper's ``alpha``; ``selection`` says how a group's
    levels are chosen ("nearest", or "joint": all together). ``shifts`` is the number N of powers of two in a
    level.

    A subclass says its ``name`` on the command line, its candidate sets (``level_sets``) and, where the
    defaults below do not hold, what it is. Fields that it adds are part of its rows' identity. Raises
    ``InputError`` for settings out of range; ``check`` looks at the levels.
    """

    shifts: int = 2
    group_size: int = 4
    alpha: float = 1.0
    magnitude_bits: int = 7
    granularity: str = "channel"
    clip: str = "absmax"
    selection: str = "nearest"

    name: ClassVar[str] = ""
    formerly: ClassVar[str | None] = None  # an older name, which keys of rows and packed files may have
    quantized: ClassVar[bool] = True  # False: weights stay what they are
    has_shifts: ClassVar[bool] = True  # whether there is a number of shifts to choose
    on_codes: ClassVar[bool] = True  # whether levels approximate the quantizer's codes, measured by MSE++
    grouped: ClassVar[bool] = False  # whether groups choose among candidate sets
    rounds_down: ClassVar[bool] = False  # whether codes take the level below, not the nearest
    own_quantizer: ClassVar[bool] = False  # whether bits and clip of its codes are its own affair

    def __post_init__(self) -> None:
        require_known("granularity", self.granularity, GRANULARITIES)
        require_known("clip", self.clip, CLIPS)
        require_known("selection", self.selection, SELECTIONS)
        within(1, 8, magnitude_bits=self.magnitude_bits)
        within(1, 8, shifts=self.shifts)
        at_least(1, group_size=self.group_size)
        at_least(0, alpha=self.alpha)

    @abstractmethod
    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        """Return the candidate sets: each one's levels, ascending from 0, below 2 ** ``code_bits``."""

    def set_ids(self) -> tuple[int, ...]:
        """Return what the candidate sets are called in a tensor of shift sets: numbers below 256."""
        return tuple(range(len(self.level_sets())))

    def set_codes(self) -> tuple[list[int], int]:
        """Return how each candidate set is written where groups are of one length, and in how many bits."""
        return self.set_ranks()

    def set_ranks(self) -> tuple[list[int], int]:
        """Return the candidate sets' places among each other, and the bits that tell them apart."""
        count = len(self.level_sets())
        return list(range(count)), (count - 1).bit_length()

    @property
    def label(self) -> str:
        """What figures call it."""
        return self.name

    @property
    def title(self) -> str:
        """What a line of a table calls it, with its bits where its number of shifts does not say them."""
        return self.label

    @property
    def code_bits(self) -> int:
        """The magnitude bits of the quantizer before the levels."""
        return self.magnitude_bits

    @property
    def code_clip(self) -> str:
        """The clip of the quantizer before the levels."""
        return self.clip

    @property
    def level_bits(self) -> int:
        """The shifts, or bits, of a level: what a bit-serial unit takes one by one, a cycle for each."""
        return self.shifts

    @property
    def plain_bits(self) -> int:
        """The bits of a magnitude where a design knows nothing of sets of levels."""
        return self.code_bits

    @property
    def mask_bits(self) -> int:
        """The bits that say which level of its group's set a weight has."""
        return (max(map(len, self.level_sets())) - 1).bit_length()

    @property
    def weights_per_group(self) -> int:
        """The weights that share a set of levels, as far as groups choose one."""
        return self.group_size if self.grouped else 1

    @property
    def consecutive(self) -> bool:
        """Whether the powers of two of every candidate set are consecutive, as some arrays need them."""
        return False

    def stored_bits(self, filters: int, filter_weights: int) -> int:
        """Return the bits of weights in storage: signs, masks and sets, padding included."""
        per_group = self.weights_per_group
        set_bits = self.set_codes()[1] if self.grouped else 0
        groups = filters * -(-filter_weights // per_group)
        return groups * (per_group * (1 + self.mask_bits) + set_bits)

    def check(self) -> None:
        """Raise ``InputError`` if the format contradicts itself, or its levels are none that can be used."""
        _check(self)

    def with_shifts(self, shifts: int) -> Self:
        """Return the same format with another number of shifts."""
        return replace(self, shifts=shifts)

    def settings(self) -> dict[str, Any]:
        """Return the format as text and numbers, for ``registry.from_settings``."""
        return {"method": self.name, **asdict(self)}

    def own_settings(self) -> dict[str, Any]:
        """Return the fields that other formats do not have."""
        known = {each.name for each in fields(WeightFormat)}
        return {name: value for name, value in asdict(self).items() if name not in known}

    def identity(self, beside_int8: bool = False) -> dict[str, Any]:
        """Return the settings that weights depend on, as keys and columns of rows have them.

        ``beside_int8``: some layers, or what errors are measured against, are in the 8-bit format.
        """
        if not self.quantized:
            return {}
        found: dict[str, Any] = {"granularity": self.granularity}
        if own := self.own_settings():
            found["format"] = own
        if not self.own_quantizer or beside_int8:
            found |= {"magnitude_bits": self.magnitude_bits, "clip": self.clip}
        if self.has_shifts:
            found["shifts"] = self.shifts
        if self.grouped:
            found |= {"group_size": self.group_size, "alpha": self.alpha}
            if self.selection != SELECTIONS[0]:  # rows are older than the other one
                found["selection"] = self.selection
        return found

    def _repr_html_(self) -> str:
        """Return the format as notebooks show it: what it is, its settings, and what a weight costs."""
        about = {name: value for name, value in self.settings().items() if name != "method"}
        if self.quantized:
            about |= {"bits per weight": self.stored_bits(1, 64) / 64, "cycles per weight": self.level_bits}
        lines = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in about.items())
        meaning = (type(self).__doc__ or "").strip().partition("\n")[0]
        return (
            f"<div><b>{type(self).__name__}</b> ({self.name}): {escape(meaning)}<table>{lines}</table></div>"
        )

    def level_table(self) -> np.ndarray:
        """Return the level of every magnitude in each set, int16 [sets, 2 ** code_bits]: not to be changed.

        It is the nearest one, of two equally near levels the smaller one; or, if it ``rounds_down``, the
        largest one that is not above the magnitude.
        """
        return _nearest_levels(self)

    def half_step_levels(self) -> np.ndarray:
        """Return the level of magnitudes between half steps, float32 [sets, 2 ** (code_bits + 1)].

        Column i holds that of magnitudes from i / 2 to (i + 1) / 2: there it is one.
        """
        return _half_step_levels(self)


@cache
def _check(fmt: WeightFormat) -> None:
    def require(holds: bool, message: str) -> None:
        if not holds:
            raise InputError(f"format {fmt.name}: {message}")

    sets, names, top = fmt.level_sets(), fmt.set_ids(), 2**fmt.code_bits
    require(0 < len(sets) <= 256, f"it has {len(sets)} candidate sets, not 1 to 256")
    require(fmt.grouped or len(sets) == 1, "groups choose among its sets; say so by grouped = True")
    for levels in sets:
        ascending = all(a < b for a, b in pairwise(levels))
        require(
            ascending and levels[:1] == (0,) and levels[-1] < top,
            f"levels ascend from 0 and stay below {top}, not {list(levels)}",
        )
    unique = len(set(names)) == len(sets) and 0 <= min(names) <= max(names) < 256
    require(unique, "set_ids are numbers below 256, one for every set")
    require(fmt.on_codes or sets[0] == tuple(range(top)), "levels that are not all codes need on_codes")
    require(
        not fmt.has_shifts or fmt.level_bits == fmt.shifts, "a level takes a cycle for each of its shifts"
    )
    require(not (fmt.own_quantizer and fmt.on_codes), "levels on codes are on those of the 8-bit quantizer")
    codes = (fmt.code_bits, fmt.code_clip)
    if fmt.own_quantizer:
        other = replace(fmt, magnitude_bits=fmt.magnitude_bits % 8 + 1, clip=CLIPS[fmt.clip == CLIPS[0]])
        require((other.code_bits, other.code_clip) == codes, "its own quantizer does not depend on others")
    else:
        require(codes == (fmt.magnitude_bits, fmt.clip), "code_bits or code_clip need own_quantizer = True")


@cache
def _nearest_levels(fmt: WeightFormat) -> np.ndarray:
    magnitudes = np.arange(2**fmt.code_bits)
    tables = []
    for chosen in fmt.level_sets():
        levels = np.array(chosen)
        if fmt.rounds_down:
            tables.append(levels[np.searchsorted(levels, magnitudes, side="right") - 1])
        else:  # of equals the first
            tables.append(levels[np.abs(levels[None, :] - magnitudes[:, None]).argmin(1)])
    return np.array(tables, np.int16)


@cache
def _half_step_levels(fmt: WeightFormat) -> np.ndarray:
    inside = np.arange(2 ** (fmt.code_bits + 1)) / 2 + 0.25
    tables = []
    for chosen in fmt.level_sets():
        levels = np.array(chosen, np.float32)
        if fmt.rounds_down:
            tables.append(levels[np.searchsorted(levels, inside) - 1])
        else:
            tables.append(levels[np.abs(levels[:, None] - inside).argmin(0)])
    return np.stack(tables)
