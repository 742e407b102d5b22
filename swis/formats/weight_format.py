"""The base class of weight formats: levels of weights, bits in storage, cycles."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields, replace
from functools import cache
from html import escape
from itertools import pairwise
from numbers import Real
from typing import Any, ClassVar, Self

import numpy as np

from swis.errors import InputError
from swis.options.names import require_known
from swis.options.ranges import at_least, within

GRANULARITIES = ("tensor", "channel")
CLIPS = ("absmax", "mse")
SELECTIONS = ("nearest", "joint")
CODINGS = ("plain", "compact", "codebook", "entropy")
FLOAT_BITS = 32
LARGEST_JOINT_GROUP = 64  # time and memory of joint selection grow with the square of the group's size


@dataclass(frozen=True)
class WeightFormat(ABC):
    """A weight format; every format is a subclass in a file of its own.

    A format works in two steps. First, the weights are quantized to codes: a magnitude of ``magnitude_bits``
    (B) bits and a sign. ``granularity``: one scale per "tensor" or per "channel" (filter). ``clip``:
    "absmax", or "mse" for the clip of least squared error. Second, every code becomes one of the levels of
    the format. ``shifts`` (N) is the number of shifts of a level. If groups of ``group_size`` (M) weights
    choose among candidate sets of levels, the set of least MSE++ with weight ``alpha`` wins. ``selection``:
    "nearest" gives each weight its nearest level; "joint" chooses all levels of a group together.
    ``coding``: how weights are stored. "plain" has fields of fixed width, "compact" leaves out bits that a
    group does not need, "codebook" is plain with an index among the sets that occur in a layer, "entropy"
    codes frequent sets and levels in fewer bits (``swis.coding``).

    A subclass defines its ``name`` on the command line, its candidate sets (``level_sets``), and the class
    attributes whose defaults do not hold. The fields that it adds are part of its rows' identity. Raises
    ``InputError`` for settings out of range; ``check`` tests the levels.

    >>> from swis.formats.swis import Swis
    >>> Swis(shifts=2, group_size=4).stored_bits(filters=1, filter_weights=4)
    18
    """

    shifts: int = 2
    group_size: int = 4
    alpha: float = 1.0
    magnitude_bits: int = 7
    granularity: str = "channel"
    clip: str = "absmax"
    selection: str = "nearest"
    coding: str = "plain"

    name: ClassVar[str] = ""
    formerly: ClassVar[str | None] = None  # an older name that row keys and packed files may contain
    quantized: ClassVar[bool] = True  # False: weights stay float
    has_shifts: ClassVar[bool] = True  # False: the number of shifts is fixed
    on_codes: ClassVar[bool] = True  # levels approximate the quantizer's codes; MSE++ measures the error
    grouped: ClassVar[bool] = False  # groups choose among candidate sets
    rounds_down: ClassVar[bool] = False  # a code takes the level below, not the nearest one
    own_quantizer: ClassVar[bool] = False  # the format fixes the bits and the clip of its codes
    scaled_groups: ClassVar[bool] = False  # a set is multiples of a number, not sums of a group's shifts
    padded: ClassVar[bool] = True  # plain coding fills the last group of a filter up with zeros

    def __post_init__(self) -> None:
        for name in ("shifts", "group_size", "magnitude_bits", "alpha"):
            number = _number(name, getattr(self, name))
            whole = name != "alpha" and number.is_integer()
            if name in ("group_size", "magnitude_bits") and not whole:  # shifts may be an average
                raise InputError(f"{name} must be a whole number, not {number:g}")
            object.__setattr__(self, name, int(number) if whole else number)
        require_known("granularity", self.granularity, GRANULARITIES)
        require_known("clip", self.clip, CLIPS)
        require_known("selection", self.selection, SELECTIONS)
        require_known("coding", self.coding, CODINGS)
        within(1, 8, magnitude_bits=self.magnitude_bits)
        within(1, 8, shifts=self.shifts)
        at_least(1, group_size=self.group_size)
        at_least(0, alpha=self.alpha)

    @abstractmethod
    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        """Return the levels of every candidate set, ascending from 0, all below 2 ** ``code_bits``."""

    def set_ids(self) -> tuple[int, ...]:
        """Return an id below 256 for every candidate set, as tensors of shift sets hold it."""
        return tuple(range(len(self.level_sets())))

    def set_codes(self) -> tuple[list[int], int]:
        """Return the stored code of every candidate set, and the bits of such a code (plain coding)."""
        return self.set_ranks()

    def set_ranks(self) -> tuple[list[int], int]:
        """Return the index of every candidate set, and the bits of such an index (compact coding)."""
        count = len(self.level_sets())
        return list(range(count)), (count - 1).bit_length()

    def places_of(self, ids: np.ndarray) -> np.ndarray:
        """Return the indices of candidate sets with these ids, int64 of the same shape.

        >>> from swis.formats.swis import Swis
        >>> Swis(shifts=2).places_of(np.array([3, 6])).tolist()  # the sets (0, 1) and (1, 2)
        [0, 6]
        """
        place = np.zeros(256, np.int64)
        place[list(self.set_ids())] = range(len(self.set_ids()))
        return place[ids]

    @property
    def label(self) -> str:
        """The name in figures, tables and titles, as people write it."""
        return self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """The name in printed tables; it includes the bits if they are not the number of shifts."""
        return self.name

    @property
    def code_bits(self) -> int:
        """The magnitude bits of the codes."""
        return self.magnitude_bits

    @property
    def code_clip(self) -> str:
        """The clip of the quantizer that makes the codes."""
        return self.clip

    @property
    def level_bits(self) -> int:
        """The shifts (or bits) of a level; a bit-serial PE spends one cycle on each."""
        return self.shifts

    @property
    def plain_bits(self) -> int:
        """The magnitude bits on a design that does not support shift sets."""
        return self.code_bits

    @property
    def mask_bits(self) -> int:
        """The bits of a mask, which selects one level of the group's set."""
        return (max(map(len, self.level_sets())) - 1).bit_length()

    def digit_exponents(self) -> np.ndarray | None:
        """Return the exponents of signed digits, int64 [sets, digits]; None if weights have signs and masks.

        A weight is the sum of its digits, each -1, 0 or 1, times two to the power of their exponents.
        """
        return None

    @property
    def weights_per_group(self) -> int:
        """The weights that share a candidate set; 1 if groups do not choose one."""
        return self.group_size if self.grouped else 1

    @property
    def metric_weights(self) -> int:
        """The weights whose errors MSE++ adds up: a group's, also if groups choose no set."""
        return self.weights_per_group if self.grouped else self.group_size

    @property
    def consecutive(self) -> bool:
        """Whether every candidate set has consecutive exponents, as some arrays need."""
        return False

    def stored_bits(self, filters: int, filter_weights: int) -> int:
        """Return the bits that store these weights in plain coding: signs, masks, sets, padding; no scales.

        The bits of other codings depend on the weights: see ``Encoded.stored_bits``.
        """
        per_group = self.weights_per_group
        set_bits = self.set_codes()[1] if self.grouped else 0
        groups = filters * -(-filter_weights // per_group)
        places = groups * per_group if self.padded else filters * filter_weights
        return places * (1 + self.mask_bits) + groups * set_bits

    def check(self) -> None:
        """Raise ``InputError`` if the format contradicts itself or has invalid levels."""
        _check(self)

    def check_rate(self, rate: float) -> None:
        """Raise ``InputError`` if ``rate`` is above 0 and calibration cannot weigh the bits of levels."""
        if rate and self.coding != "entropy":
            raise InputError(f"calibration.rate={rate:g} needs coding=entropy, not {self.coding}")
        if rate and not self.has_shifts:
            raise InputError(
                f"calibration.rate={rate:g} does not apply to {self.name}: it has no calibration"
            )
        if rate and self.rounds_down:
            raise InputError(
                f"calibration.rate={rate:g} does not apply to {self.name}: it always rounds down"
            )

    def with_shifts(self, shifts: int) -> Self:
        """Return the same format with another number of shifts."""
        return replace(self, shifts=shifts)

    def settings(self) -> dict[str, Any]:
        """Return the format as text and numbers; ``registry.from_settings`` reads them."""
        found = {"method": self.name, **asdict(self)}
        if self.coding == CODINGS[0]:  # files exist from before there was another coding
            del found["coding"]
        return found

    def own_settings(self) -> dict[str, Any]:
        """Return the fields that other formats do not have."""
        known = {each.name for each in fields(WeightFormat)}
        return {name: value for name, value in asdict(self).items() if name not in known}

    def identity(self, beside_int8: bool = False) -> dict[str, Any]:
        """Return the settings that the weights depend on, under their names in row keys and columns.

        ``beside_int8``: the 8-bit format is used too, for some layers or as the reference of errors.
        """
        if not self.quantized:
            return {}
        found: dict[str, Any] = {"granularity": self.granularity}
        if own := self.own_settings():
            found["format"] = own
        if self.coding != CODINGS[0]:
            found["coding"] = self.coding
        if not self.own_quantizer or beside_int8:
            found |= {"magnitude_bits": self.magnitude_bits, "clip": self.clip}
        if self.has_shifts:
            found["shifts"] = self.shifts
        if self.grouped:
            found |= {"group_size": self.weights_per_group, "alpha": self.alpha}
            if self.selection != SELECTIONS[0]:  # rows exist from before there was another selection
                found["selection"] = self.selection
        return found

    def _repr_html_(self) -> str:
        """Return the HTML that notebooks show: the meaning, the settings, bits and cycles per weight."""
        about = {name: value for name, value in self.settings().items() if name != "method"}
        if self.quantized:
            about |= {"bits per weight": self.stored_bits(1, 64) / 64, "cycles per weight": self.level_bits}
        lines = "".join(f"<tr><td>{name}</td><td>{value}</td></tr>" for name, value in about.items())
        meaning = (type(self).__doc__ or "").strip().partition("\n")[0]
        return (
            f"<div><b>{type(self).__name__}</b> ({self.name}): {escape(meaning)}<table>{lines}</table></div>"
        )

    def level_table(self) -> np.ndarray:
        """Return the level of every magnitude in each set, int16 [sets, 2 ** code_bits].

        It is the nearest level; a tie takes the smaller one. If the format ``rounds_down``, it is the largest
        level that is not above the magnitude. The array is cached, so callers must not change it.
        """
        return _nearest_levels(self)

    def half_step_levels(self) -> np.ndarray:
        """Return the levels of magnitudes that are not whole, float32 [sets, 2 ** (code_bits + 1)].

        Column i is the level of every magnitude between i / 2 and (i + 1) / 2; the nearest level cannot
        change inside that interval. The array is cached, so callers must not change it.
        """
        return _half_step_levels(self)


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{name} must be a number, not {value!r}")
    return float(value)


@cache
def _check(fmt: WeightFormat) -> None:
    def require(holds: bool, message: str) -> None:
        if not holds:
            raise InputError(f"format {fmt.name}: {message}")

    sets, names, top = fmt.level_sets(), fmt.set_ids(), 2**fmt.code_bits
    require(0 < len(sets) <= 256, f"it must have 1 to 256 candidate sets, not {len(sets)}")
    require(fmt.grouped or len(sets) == 1, "it has several candidate sets, which needs grouped = True")
    for levels in sets:
        ascending = all(a < b for a, b in pairwise(levels))
        require(
            ascending and levels[:1] == (0,) and levels[-1] < top,
            f"levels must ascend from 0 and stay below {top}, not {list(levels)}",
        )
    unique = len(set(names)) == len(sets) and 0 <= min(names) <= max(names) < 256
    require(unique, "set_ids must be different numbers below 256, one for every set")
    require(
        fmt.on_codes or sets[0] == tuple(range(top)), "not every code is a level, which needs on_codes = True"
    )
    require(not fmt.has_shifts or fmt.level_bits == fmt.shifts, "level_bits must be the number of shifts")
    require(not (fmt.own_quantizer and fmt.on_codes), "own_quantizer = True needs on_codes = False")
    codes = (fmt.code_bits, fmt.code_clip)
    if fmt.own_quantizer:
        other = replace(fmt, magnitude_bits=fmt.magnitude_bits % 8 + 1, clip=CLIPS[fmt.clip == CLIPS[0]])
        require(
            (other.code_bits, other.code_clip) == codes,
            "with own_quantizer, code_bits and code_clip must not depend on magnitude_bits and clip",
        )
    else:
        require(
            codes == (fmt.magnitude_bits, fmt.clip),
            "own code_bits or code_clip need own_quantizer = True",
        )


@cache
def _nearest_levels(fmt: WeightFormat) -> np.ndarray:
    magnitudes = np.arange(2**fmt.code_bits)
    tables = []
    for chosen in fmt.level_sets():
        levels = np.array(chosen)
        if fmt.rounds_down:
            tables.append(levels[np.searchsorted(levels, magnitudes, side="right") - 1])
        else:  # argmin returns the first of equal values: the smaller level
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
