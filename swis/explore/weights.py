"""Weights: a group of a filter bit by bit in several formats, and the errors of its layer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.quantizer import quantize
from swis.errors import InputError
from swis.explore.drawing import FAINT, INK, Drawing, Entry, Plot
from swis.explore.looks import BLUE, format_looks
from swis.explore.picture import Part, Picture, bars
from swis.explore.scale import Scale, raised
from swis.explore.subject import MADE, Given, Subject, format_of
from swis.explore.tab import GROUP_SIZES, Several, SubjectTab, chosen, slider, steps
from swis.explore.words import described, layer_words
from swis.formats.powers_of_two import PowersOfTwo
from swis.formats.registry import formats
from swis.formats.truncate import Truncate
from swis.formats.weight_format import WeightFormat
from swis.plots.names import label_of

_SENTENCE = (
    "A group of weights that share a shift set, bit by bit: which powers of two of its 8-bit codes each "
    "format keeps, and what all weights of the layer lose by that. Filters and groups are counted from 0."
)
_UNUSED, _DROPPED = "#b9d8ec", "#ececec"
_CELL, _LINE, _WIDTH = 33, 27, 410
_BINS = 60  # columns of the histogram of errors


def bit_formats() -> list[str]:
    """Return the formats that keep some bits of an 8-bit code, by name.

    >>> bit_formats()
    ['swis', 'swis_c', 'truncate', 'round']
    """
    return [name for name, kind in formats().items() if kind.on_codes and issubclass(kind, PowersOfTwo)]


@dataclass(frozen=True)
class Group:
    """Some weights of a filter: their 8-bit ``codes``, what is ``kept`` of them, and their shift set."""

    codes: list[int]
    kept: list[int]
    shift_set: list[int]
    fmt: WeightFormat


def group_of(subject: Subject, layer: str, given: Given, row: int, place: int) -> Group:
    """Return the group at a ``place`` of the filter ``row``, in a format or as it is in the network.

    >>> import torch
    >>> from swis.formats.swis import Swis
    >>> subject = Subject.of(torch.nn.Sequential(torch.nn.Linear(4, 1)), torch.ones(1, 4))
    >>> len(group_of(subject, "0", Swis(shifts=2), 0, 0).codes)
    4
    """
    fmt, filters = format_of(given), subject.weights[layer]
    alone = fmt.granularity == "channel"  # a filter's codes do not depend on others
    mine = filters[row : row + 1] if alone else filters
    some = slice(place * fmt.group_size, (place + 1) * fmt.group_size)
    codes = quantize(mine, fmt.magnitude_bits, fmt.granularity, fmt.clip).codes
    codes = to_filters(codes)[0 if alone else row, some]
    if isinstance(given, WeightFormat):
        found = decompose(codes[None], fmt)
        kept, used = found.codes[0], int(found.shift_sets.flatten()[0])
    else:
        if given.schedule is not None:
            fmt = fmt.with_shifts(int(given.schedule.shifts[row]))
        sets = given.shift_sets if fmt.grouped else None
        kept, used = given.codes[row, some], fmt.set_ids()[0] if sets is None else int(sets[row, place])
    shift_set = [bit for bit in range(fmt.magnitude_bits) if used >> bit & 1]
    return Group(codes.tolist(), kept.tolist(), shift_set, fmt)


def weights_picture(
    subject: Subject, layer: str, given: Mapping[str, Given], row: int = 0, first: int = 0
) -> Picture:
    """Draw a group of a layer bit by bit, the errors of all weights, and the cost, for ``given`` weights.

    These go by the names of their formats, or ``MADE``. ``row`` counts the layer's filters; the group is the
    one with the weight that is the ``first`` of its filter's.

    >>> import torch
    >>> from swis.formats.swis import Swis
    >>> subject = Subject.of(torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.ones(1, 8))
    >>> "shift set" in weights_picture(subject, "0", {"swis": Swis(shifts=2)}).svg()
    True
    """
    if not given:
        raise InputError("choose one format or more")
    filters, looks = subject.weights[layer], format_looks(given)
    drawings, errors, sqnr, bits = [_legend()], [], {}, {}
    for key, each in given.items():
        fmt, colour = format_of(each), looks[key].colour
        words = f"{label_of(fmt.name)}, {MADE}" if key == MADE else described(each)
        place, groups = first // fmt.group_size, -(-filters[0].numel() // fmt.group_size)
        where = f"filter {row} of {len(filters)}, group {place} of {groups}"
        drawings.append(_bits(words, where, group_of(subject, layer, each, row, place)))
        errors.append((Entry(colour, words, dash=""), *subject.errors(layer, each)))
        ratio, stored = subject.sqnr_db(layer, each), subject.stored_bits(layer, each)
        if np.isfinite(ratio):
            sqnr[words] = [Part(colour, "SQNR", ratio)]
        bits[words] = [Part(colour, "stored", stored / filters.numel())]
    every = max(subject.every(layer, format_of(each)) for each in given.values())
    name = layer_words(layer)
    name = f"one filter in {every} of {name}" if every > 1 else f"all weights of {name}"
    exact = [words for words in bits if words not in sqnr]
    without = f"; without error: {', '.join(exact)}" if exact else ""
    drawings += [
        _errors(name, errors),
        bars("Signal to quantization noise", sqnr, "dB", width=_WIDTH, subtitle=name + without),
        bars("Stored bits per weight", bits, "bits", width=_WIDTH, subtitle="with shift sets and padding"),
    ]
    return Picture(drawings)


def _bits(words: str, where: str, group: Group) -> Drawing:
    columns, count = group.fmt.magnitude_bits, len(group.codes)
    drawing = Drawing(_WIDTH, 102 + _LINE * count + 54)
    powers = ", ".join(f"2{raised(bit)}" for bit in reversed(group.shift_set))
    drawing.heading(words, f"{where}; shift set: {powers}")
    left = 62
    right = left + _CELL * columns
    for x, word in ((left - 8, "code"), (right + 48, "kept as"), (right + 96, "error")):
        drawing.text(x, 72, word, size=12, anchor="end", colour=FAINT)
    for column in range(columns):
        bit = columns - 1 - column
        inside, x = bit in group.shift_set, left + _CELL * (column + 0.5)
        colour = INK if inside else "#888888"
        drawing.text(x, 72, f"2{raised(bit)}", anchor="middle", bold=inside, colour=colour)
    for line, (code, kept) in enumerate(zip(group.codes, group.kept, strict=True)):
        y = 82 + _LINE * line
        for x, value in ((left - 8, code), (right + 48, kept), (right + 96, kept - code)):
            drawing.text(x, y + 18, f"{value:+d}" if value else "0", anchor="end")
        for column in range(columns):
            bit = columns - 1 - column
            look = _look(bit in group.shift_set, abs(kept) >> bit & 1)
            _cell(drawing, left + _CELL * column, y, look, abs(code) >> bit & 1)
    y = 82 + _LINE * count + 24
    drawing.text(14, y, _stored(group.fmt, count), size=12)
    drawing.text(14, y + 20, f"As 8-bit codes: {(columns + 1) * count} bits.", size=12)
    return drawing


def _look(inside: bool, used: int) -> tuple[str, str]:
    """Return the colours of a bit's cell and of its digit."""
    if inside and used:
        return BLUE, "white"
    return (_UNUSED if inside else _DROPPED), INK


def _cell(drawing: Drawing, x: float, y: float, look: tuple[str, str], digit: int) -> None:
    drawing.rectangle(x, y, _CELL - 2, _LINE - 2, look[0])
    drawing.text(x + _CELL / 2 - 1, y + 18, str(digit), anchor="middle", colour=look[1])


def _stored(fmt: WeightFormat, count: int) -> str:
    """Say in how many bits a group of so many weights is stored."""
    places = -(-count // fmt.weights_per_group) * fmt.weights_per_group
    parts = [f"{places} signs", f"{places} x {fmt.mask_bits} mask bits"]
    if fmt.grouped:
        parts.append(f"{fmt.set_codes()[1]} for the shift set")
    padding = f"; {places - count} places are padding" if places > count else ""
    return f"Stored in {fmt.stored_bits(1, count)} bits: {', '.join(parts)}{padding}."


def _legend() -> Drawing:
    drawing = Drawing(_WIDTH, 212)
    drawing.heading("How to read it", "a line is a weight, a column one of its bits")
    lines = (
        ((True, 1), 1, "in the shift set, and used: its mask bit is 1"),
        ((True, 0), 0, "in the shift set, but not used: its mask bit is 0"),
        ((False, 0), 1, "not in the shift set: no weight of the group has it"),
    )
    for number, (state, digit, words) in enumerate(lines):
        y = 58 + 31 * number
        _cell(drawing, 14, y, _look(*state), digit)
        drawing.text(58, y + 18, words, size=12.5)
    drawing.text(14, 172, "A digit is the bit of the weight's 8-bit code. The weight is", size=12.5)
    drawing.text(14, 192, "kept as the sum of its dark blue powers of two.", size=12.5)
    return drawing


def _errors(name: str, errors: Sequence[tuple[Entry, np.ndarray, np.ndarray]]) -> Drawing:
    """Draw histograms of errors: what they are called, values and how many weights have them."""
    low = min(int(values[0]) for _, values, _ in errors)
    high = max(int(values[-1]) for _, values, _ in errors)
    wide = -(-(high - low + 1) // _BINS)
    edges = np.arange(low, high + wide + 1, wide) - 0.5
    binned = [np.histogram(values, edges, weights=counts)[0] for _, values, counts in errors]
    plot = Plot(
        _WIDTH,
        330,
        title="Errors",
        subtitle=name,
        x=Scale.over([edges[0], edges[-1]]),
        y=Scale(0.5, 2 * max(float(count.max()) for count in binned), log=True),
        x_label="error [steps of the 8-bit quantizer]",
        y_label="weights" if wide == 1 else f"weights in {wide} steps",
        entries=[entry for entry, _, _ in errors],
    )
    for (entry, _, _), count in zip(errors, binned, strict=True):
        tops = np.repeat(np.maximum(count, 0.5), 2)
        places = [plot.at(x, y) for x, y in zip(np.repeat(edges, 2)[1:-1], tops, strict=True)]
        plot.line([plot.at(edges[0], 0.5), *places, plot.at(edges[-1], 0.5)], entry.colour, 1.8)
    return plot


def weights(network: Any = None, calibration: Any = None) -> WeightsTab:
    """Return the tab in which the weights of a network are looked into, bit by bit.

    ``network`` is any module, with inputs for ``calibration`` as ``swis.quantize`` takes them, or what that
    returns; by default networks of the package can be chosen.

    >>> import torch
    >>> tab = weights(torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.ones(1, 8))
    >>> tab.look_at(tab.subject, "0")
    """
    return WeightsTab(Subject.of(network, calibration))


class WeightsTab(SubjectTab):
    """The tab ``weights`` makes; ``look_at`` shows a layer."""

    def __init__(self, subject: Subject) -> None:
        self.layer = chosen("layer", subject.layer_options, subject.names[0])
        self.formats = Several("formats", _choices(subject), (subject.first_format, Truncate.name))
        self.shifts, self.group_size = slider("shifts", 2, 1, 7), steps("group size", GROUP_SIZES, 4)
        self.row, self.place = slider("filter", 0, 0, 0), slider("group", 0, 0, 0)
        for control in (self.layer, self.group_size):
            control.observe(self._bounds, "value")  # before the picture follows
        controls = [self.layer, self.row, self.place, self.shifts, self.group_size, self.formats]
        super().__init__(subject, _SENTENCE, controls, self._picture)
        self._bounds()

    def taken(self) -> None:
        self.layer.options = self.subject.layer_options

    def look_at(self, subject: Subject, layer: str) -> None:
        """Show a layer of a network."""
        with self.held():
            if subject is not self.subject:
                self.network.value = subject.model
            self.layer.value = layer

    def _bounds(self, _: Any = None) -> None:
        if self.layer.value is None:  # between two networks
            return
        filters = self.subject.weights[self.layer.value]
        with self.quiet():
            self.row.max = len(filters) - 1
            self.place.max = -(-filters[0].numel() // self.group_size.value) - 1

    def _picture(self) -> Picture:
        settings = (self.shifts.value, self.group_size.value)
        given = {name: self.subject.given(self.layer.value, name, *settings) for name in self.formats.value}
        first = self.place.value * self.group_size.value
        return weights_picture(self.subject, self.layer.value, given, self.row.value, first)


def _choices(subject: Subject) -> list[tuple[str, str]]:
    """Return the formats that can be drawn; the network of few bits as it is, if all of it can."""
    given = [] if subject.quantized is None else subject.quantized.encoded.values()
    in_bits = all(isinstance(each.fmt, PowersOfTwo) and not each.fmt.own_quantizer for each in given)
    return [option for option in subject.format_options(bit_formats()) if in_bits or option[1] != MADE]
