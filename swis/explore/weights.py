"""Weights: a group of a filter bit by bit in several formats, and the errors of its layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.metrics import sqnr_db
from swis.encoding.quantizer import quantize
from swis.explore.drawing import COLOURS, Drawing, Picture, Plot, Scale, bars
from swis.explore.subject import MODELS, Subject
from swis.explore.tab import Tab, chosen, several, slider, steps
from swis.explore.words import described, format_words
from swis.formats.powers_of_two import PowersOfTwo
from swis.formats.registry import formats, int8_of, weight_format
from swis.formats.weight_format import WeightFormat

GROUP_SIZES = (1, 2, 4, 8, 16)
MADE = "made"  # the weights of a network of few bits, as they are

_SENTENCE = (
    "A group of weights that share a shift set, bit by bit: which powers of two of its 8-bit codes each "
    "format keeps, and what all weights of the layer lose by that."
)
_KEPT, _UNUSED, _DROPPED = COLOURS[0], "#b9d8ec", "#ececec"
_RAISED = "⁰¹²³⁴⁵⁶⁷"
_CELL, _LINE, _WIDTH = 36, 27, 470


def bit_formats() -> list[str]:
    """Return the formats that keep some bits of an 8-bit code, by name.

    >>> bit_formats()
    ['swis', 'swis_c', 'truncate', 'round']
    """
    return [name for name, kind in formats().items() if kind.on_codes and issubclass(kind, PowersOfTwo)]


@dataclass(frozen=True)
class Group:
    """Some weights of a filter: their 8-bit ``codes``, what is ``kept`` of them, and their shift set."""

    words: str
    codes: list[int]
    kept: list[int]
    shift_set: list[int]
    fmt: WeightFormat


def group_of(subject: Subject, layer: str, name: str, fmt: WeightFormat, row: int, place: int) -> Group:
    """Return the group at a ``place`` of the filter ``row`` in a format, or as it was ``MADE``.

    >>> import torch
    >>> subject = Subject.of(torch.nn.Sequential(torch.nn.Linear(4, 1)), torch.ones(1, 4))
    >>> len(group_of(subject, "0", "swis", weight_format("swis"), 0, 0).codes)
    4
    """
    filters = subject.weights[layer]
    mine = filters if fmt.granularity == "tensor" else filters[row : row + 1]
    codes = to_filters(quantize(mine, fmt.magnitude_bits, fmt.granularity, fmt.clip).codes)
    some = slice(place * fmt.group_size, (place + 1) * fmt.group_size)
    codes = codes[row if fmt.granularity == "tensor" else 0, some][None]
    words = described(fmt)
    if name == MADE:
        encoded = subject.quantized.encoded[layer]
        if encoded.schedule is not None:
            fmt = fmt.with_shifts(int(encoded.schedule.shifts[row]))
        kept, sets, words = (
            encoded.codes[row, some],
            encoded.shift_sets,
            f"as in this network: {described(fmt)}",
        )
        used = int(sets[row, place]) if fmt.grouped and sets is not None else fmt.set_ids()[0]
    else:
        found = decompose(codes, fmt)
        kept, used = found.codes[0], int(found.shift_sets.flatten()[0])
    shift_set = [bit for bit in range(fmt.magnitude_bits) if used >> bit & 1]
    return Group(words, codes[0].tolist(), kept.tolist(), shift_set, fmt)


def weights_picture(
    subject: Subject,
    layer: str,
    names: Sequence[str] = ("swis",),
    shifts: int = 2,
    group_size: int = 4,
    row: int = 0,
    place: int = 0,
) -> Picture:
    """Draw a group of a layer bit by bit in formats by ``names``, the errors of all weights, and the cost.

    ``row`` counts the layer's filters, ``place`` the groups of one; both start again behind the last.

    >>> import torch
    >>> subject = Subject.of(torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.ones(1, 8))
    >>> "shift set" in weights_picture(subject, "0").svg()
    True
    """
    fmts = {name: _format(subject, layer, name, shifts, group_size) for name in names}
    row %= len(subject.weights[layer])
    drawings, errors, costs = [], {}, {}
    for name, fmt in fmts.items():
        groups = -(-subject.weights[layer][0].numel() // fmt.group_size)
        found = group_of(subject, layer, name, fmt, row, place % groups)
        drawings.append(_bits(found, f"filter {row}, group {place % groups} of {groups}"))
        codes, kept = _codes(subject, layer, name, fmt)
        errors[found.words] = (kept.int() - codes.int()).flatten().numpy()
        filters = subject.weights[layer]
        bits = fmt.stored_bits(len(filters), filters[0].numel()) / filters.numel()
        costs[found.words] = (sqnr_db(codes, kept), bits)
    drawings.insert(0, _legend())
    drawings.append(_errors(layer, errors))
    sqnr, bits = zip(*costs.values(), strict=True)
    height = {"signal to error": [value if np.isfinite(value) else 0.0 for value in sqnr]}
    drawings.append(
        bars(f"Signal to quantization noise of {layer}", [*costs], height, "dB", width=_WIDTH, by_group=True)
    )
    drawings.append(
        bars(
            "Stored bits per weight (8-bit codes: 8)",
            [*costs],
            {"bits": bits},
            "bits",
            width=_WIDTH,
            by_group=True,
        )
    )
    return Picture(drawings)


def _format(subject: Subject, layer: str, name: str, shifts: int, group_size: int) -> WeightFormat:
    return subject.quantized.encoded[layer].fmt if name == MADE else weight_format(name, shifts, group_size)


def _codes(subject: Subject, layer: str, name: str, fmt: WeightFormat) -> tuple[Tensor, Tensor]:
    """Return 8-bit codes of some filters of a layer, and what is kept of them."""
    codes = subject.encoded(layer, int8_of(fmt)).codes
    kept = subject.quantized.encoded[layer].codes if name == MADE else subject.encoded(layer, fmt).codes
    return codes, kept[:: -(-len(kept) // len(codes))] if name == MADE else kept


def _bits(group: Group, where: str) -> Drawing:
    columns = group.fmt.magnitude_bits
    drawing = Drawing(_WIDTH, 92 + _LINE * len(group.codes) + 62)
    drawing.text(14, 22, group.words, size=15, bold=True)
    powers = ", ".join(f"2{_RAISED[bit]}" for bit in reversed(group.shift_set))
    drawing.text(14, 44, f"{where}; shift set: {powers}", size=12.5, colour="#666666")
    left = 78
    drawing.text(left - 12, 82, "code", size=12, anchor="end", colour="#666666")
    for column in range(columns):
        bit = columns - 1 - column
        inside = bit in group.shift_set
        x = left + _CELL * (column + 0.5)
        drawing.text(
            x, 82, f"2{_RAISED[bit]}", anchor="middle", bold=inside, colour="#222222" if inside else "#888888"
        )
    right = left + _CELL * columns
    drawing.text(right + 14, 82, "kept as", size=12, colour="#666666")
    drawing.text(right + 74, 82, "error", size=12, colour="#666666")
    for line, (code, kept) in enumerate(zip(group.codes, group.kept, strict=True)):
        y = 92 + _LINE * line
        drawing.text(left - 12, y + 18, _signed(code), anchor="end")
        for column in range(columns):
            bit = columns - 1 - column
            inside, used = bit in group.shift_set, abs(kept) >> bit & 1
            colour = (_KEPT if used else _UNUSED) if inside else _DROPPED
            x = left + _CELL * column
            drawing.rectangle(x, y, _CELL - 2, _LINE - 2, colour)
            ink = "white" if inside and used else "#222222"
            drawing.text(x + _CELL / 2 - 1, y + 18, str(abs(code) >> bit & 1), anchor="middle", colour=ink)
        drawing.text(right + 14, y + 18, _signed(kept))
        drawing.text(right + 74, y + 18, _signed(kept - code))
    y = 92 + _LINE * len(group.codes) + 24
    fmt, count = group.fmt, len(group.codes)
    sets = fmt.set_codes()[1] if fmt.grouped else 0
    bits = count * (1 + fmt.mask_bits) + sets
    said = f"Stored in {bits} bits: {count} signs, {count} x {fmt.mask_bits} mask bits"
    drawing.text(14, y, said + (f", {sets} bits of shift set." if sets else "."), size=12.5)
    drawing.text(14, y + 20, f"As 8-bit codes: {8 * count} bits.", size=12.5)
    return drawing


def _signed(code: int) -> str:
    return f"{code:+d}" if code else "0"


def _legend() -> Drawing:
    drawing = Drawing(_WIDTH, 182)
    drawing.text(14, 22, "How to read it", size=15, bold=True)
    lines = (
        (_KEPT, "white", "1", "in the shift set, and this weight uses it: its mask bit is 1"),
        (_UNUSED, "#222222", "0", "in the shift set, but this weight leaves it out: its mask bit is 0"),
        (_DROPPED, "#222222", "1", "not in the shift set: no weight of the group can use it"),
    )
    for number, (colour, ink, digit, words) in enumerate(lines):
        y = 38 + 30 * number
        drawing.rectangle(14, y, _CELL - 2, _LINE - 4, colour)
        drawing.text(14 + _CELL / 2, y + 16, digit, anchor="middle", colour=ink)
        drawing.text(60, y + 16, words, size=12.5)
    drawing.text(14, 146, "Digits are the magnitude of the 8-bit code; a row is a weight.", size=12.5)
    drawing.text(14, 166, "Kept: the sum of the blue powers of two, with the weight's sign.", size=12.5)
    return drawing


def _errors(layer: str, errors: dict[str, np.ndarray]) -> Drawing:
    low, high = (int(pick(pick(each) for each in errors.values())) for pick in (min, max))
    edges = np.arange(low - 0.5, high + 1.5)
    counts = {words: np.histogram(values, edges)[0] for words, values in errors.items()}
    most = max(int(count.max()) for count in counts.values())
    plot = Plot(
        _WIDTH,
        330 + 20 * len(errors),
        title=f"Errors of the weights of {layer}",
        x=Scale.over([low - 1, high + 1]),
        y=Scale(0.5, 2 * most, log=True),
        x_label="error [steps of the 8-bit quantizer]",
        y_label="weights",
        bottom=60 + 20 * len(errors),
    )
    for colour, count in zip(COLOURS, counts.values(), strict=False):
        tops = np.repeat(np.maximum(count, 0.5), 2)
        places = [plot.at(x, y) for x, y in zip(np.repeat(edges, 2)[1:-1], tops, strict=True)]
        plot.line([plot.at(edges[0], 0.5), *places, plot.at(edges[-1], 0.5)], colour, 1.8)
    plot.legend(72, plot.height - 20 * len(errors) + 4, list(zip(COLOURS, errors, strict=False)), 300)
    return plot


def weights(network: Any = None, calibration: Any = None) -> Tab:
    """Return the tab in which the weights of a network are looked into, bit by bit.

    ``network`` and ``calibration`` are as ``Subject.of`` takes them; by default networks of the package can
    be chosen.

    >>> import torch
    >>> tab = weights(torch.nn.Sequential(torch.nn.Linear(8, 4)), torch.ones(1, 8))
    >>> tab.look_at(tab.subject, "0")
    """
    return WeightsTab(Subject.of(network, calibration), embedded=network is None)


class WeightsTab(Tab):
    """The tab ``weights`` makes; ``look_at`` shows a layer."""

    def __init__(self, subject: Subject, embedded: bool) -> None:
        self.subject = subject
        self.layer = chosen("layer", subject.names, subject.names[0])
        self.formats = several("formats", self._choices(), ("swis", "truncate"))
        self.shifts, self.group_size = slider("shifts", 2, 1, 7), steps("weights per group", GROUP_SIZES, 4)
        self.row, self.place = slider("filter", 0, 0, 0), slider("group", 0, 0, 0)
        controls = [self.layer, self.shifts, self.row, self.place, self.group_size, self.formats]
        if embedded:
            self.network = chosen("network", MODELS, next(iter(MODELS.values())))
            self.network.observe(lambda change: self.take(Subject.of(change["new"])), "value")
            controls.insert(0, self.network)
        for control in (self.layer, self.group_size):
            control.observe(self._bounds, "value")
        self._bounds()
        super().__init__(_SENTENCE, controls, self._picture)

    def take(self, subject: Subject) -> None:
        """Look into another network."""
        with self.held():
            self.subject = subject
            self.layer.options = subject.names

    def look_at(self, subject: Subject, layer: str) -> None:
        """Show a layer of a network."""
        with self.held():
            if subject is not self.subject:
                self.network.value = subject.model
            self.layer.value = layer

    def _choices(self) -> list[tuple[str, str]]:
        known = [(format_words(name), name) for name in bit_formats()]
        quantized = self.subject.quantized
        shown = quantized is not None and all(
            isinstance(each.fmt, PowersOfTwo) and not each.fmt.own_quantizer
            for each in quantized.encoded.values()
        )
        return [("as in this network", MADE), *known] if shown else known

    def _bounds(self, _: Any = None) -> None:
        if self.layer.value is None:  # between two networks
            return
        filters = self.subject.weights[self.layer.value]
        self.row.max = len(filters) - 1
        self.place.max = -(-filters[0].numel() // self.group_size.value) - 1

    def _picture(self) -> Picture:
        names = self.formats.value or ("swis",)
        settings = (self.shifts.value, self.group_size.value, self.row.value, self.place.value)
        return weights_picture(self.subject, self.layer.value, names, *settings)
