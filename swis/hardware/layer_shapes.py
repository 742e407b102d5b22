"""The shapes of a network's layers, from a model or from a CSV file."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import pandas as pd
from pandas.errors import ParserError
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from swis.errors import InputError
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example
from swis.networks.layers import axes_of, is_transposed, spread, weight_layers
from swis.networks.macs import counted, run
from swis.options.conf_files import CONF

# The folder with shapes of published networks, for images of 224 x 224.
_SHAPES = CONF / "shapes"

_PADDING = ("pad_top", "pad_left", "pad_bottom", "pad_right")
_OPTIONAL = dict.fromkeys(("groups", "stride_h", "stride_w", "dilation_h", "dilation_w", "maps"), 1)
_OPTIONAL |= dict.fromkeys(_PADDING, 0)

log = logging.getLogger("swis")


@dataclass(frozen=True)
class Layer:
    """The shape of a convolution, or of a linear layer as a convolution with a 1 x 1 kernel, for one image.

    Sizes are numbers of values. ``in_h`` and ``in_w`` do not include padding, which is with zeros. A linear
    layer for T tokens has outputs of 1 x T. A convolution may run on several ``maps`` per image, such as
    those of attention heads; then it has ``maps`` times as many inputs and outputs, but the same weights.
    Raises ``InputError`` for sizes below 1 and for channels that do not divide into the groups.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel_h: int
    kernel_w: int
    in_h: int
    in_w: int
    out_h: int
    out_w: int
    groups: int = 1
    stride_h: int = 1
    stride_w: int = 1
    dilation_h: int = 1
    dilation_w: int = 1
    maps: int = 1
    pad_top: int = 0
    pad_left: int = 0
    pad_bottom: int = 0
    pad_right: int = 0

    def __post_init__(self) -> None:
        for field in fields(self)[1:]:
            value, least = getattr(self, field.name), 0 if field.name in _PADDING else 1
            if value < least:
                raise InputError(f"layer {self.name}: {field.name} must be at least {least}, not {value}")
        for name in ("in_channels", "out_channels"):
            if getattr(self, name) % self.groups:
                raise InputError(
                    f"layer {self.name}: {name}={getattr(self, name)} does not divide into "
                    f"{self.groups} groups"
                )

    @property
    def depthwise(self) -> bool:
        """Whether every filter has a single input channel."""
        return self.groups == self.in_channels > 1

    @property
    def kind(self) -> str:
        """The kind: "fc" (one output pixel), "depthwise", "pointwise" (1 x 1 kernel) or "conv"."""
        if self.pixels == 1:
            return "fc"
        if self.depthwise:
            return "depthwise"
        return "pointwise" if self.kernel_h * self.kernel_w == 1 else "conv"

    @property
    def group_channels(self) -> int:
        """The input channels of one convolution group."""
        return self.in_channels // self.groups

    @property
    def group_filters(self) -> int:
        """The filters of one convolution group."""
        return self.out_channels // self.groups

    @property
    def span_h(self) -> int:
        """The rows of inputs from the first to the last kernel position."""
        return self.dilation_h * (self.kernel_h - 1) + 1

    @property
    def span_w(self) -> int:
        """The columns of inputs from the first to the last kernel position."""
        return self.dilation_w * (self.kernel_w - 1) + 1

    @property
    def most_outputs(self) -> dict[str, int]:
        """The largest output sizes that the inputs and their padding allow."""
        sides = {
            "out_h": (self.pad_top + self.in_h + self.pad_bottom - self.span_h, self.stride_h),
            "out_w": (self.pad_left + self.in_w + self.pad_right - self.span_w, self.stride_w),
        }
        return {name: room // stride + 1 if room >= 0 else 0 for name, (room, stride) in sides.items()}

    def check(self) -> None:
        """Raise ``InputError`` if the layer has more outputs than its inputs and their padding give."""
        for name, most in self.most_outputs.items():
            if getattr(self, name) > most:
                side, ends = name[-1], _PADDING[0::2] if name == "out_h" else _PADDING[1::2]
                given = ", ".join(
                    f"{field}={getattr(self, field)}"
                    for field in (f"in_{side}", *ends, f"kernel_{side}", f"stride_{side}", f"dilation_{side}")
                )
                raise InputError(
                    f"layer {self.name}: {name} is at most {most}, not {getattr(self, name)}: {given}"
                )

    @property
    def pixels(self) -> int:
        """The output pixels of all maps."""
        return self.maps * self.out_h * self.out_w

    @property
    def filter_weights(self) -> int:
        return self.kernel_h * self.kernel_w * self.group_channels

    @property
    def weights(self) -> int:
        return self.filter_weights * self.out_channels

    @property
    def inputs(self) -> int:
        return self.maps * self.in_channels * self.in_h * self.in_w

    @property
    def outputs(self) -> int:
        return self.out_channels * self.pixels

    @property
    def macs(self) -> int:
        return self.pixels * self.weights


def workload(model: nn.Module, example: Example) -> list[Layer]:
    """Return the shapes of a network's layers, in the order in which it calls them.

    ``example`` is the size [C, H, W] of an image, or inputs, of which the first is run. A layer that is
    called twice appears twice. A transposed convolution appears as the equivalent convolution of an input
    with zeros between its pixels; products with these zeros are counted. Padding is observed while the
    network runs, so padding outside the layers is found, too. Raises ``InputError`` for a convolution whose
    weight is used without a call of the layer (linear layers may be used like that), and for a layer with
    more outputs than its inputs and padding allow.

    >>> [layer] = workload(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1)), (3, 32, 32))
    >>> layer.pixels, layer.filter_weights, layer.macs, layer.pad_top
    (256, 27, 55296, 1)
    """
    found: list[Layer] = []
    padding = _Padding()

    def remember(name: str, layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if isinstance(layer, nn.Linear):
            tokens = output.numel() // layer.out_features  # of one image, for any order of axes
            sizes = (layer.in_features, layer.out_features, 1, 1, 1, tokens, 1, tokens)
            found.append(Layer(name, *sizes))
        else:
            axes = axes_of(layer)
            flat = (1,) * (2 - axes)  # a sequence is an image with one row
            in_h, in_w = *flat, *spread(layer, inputs[0]).shape[-axes:]
            out_h, out_w = *flat, *output.shape[-axes:]
            sizes = (
                layer.in_channels,
                layer.out_channels,
                *flat,
                *layer.kernel_size,
                in_h,
                in_w,
                out_h,
                out_w,
            )
            maps = output.numel() // (layer.out_channels * out_h * out_w)
            steps, sides = (*flat, *layer.stride, *flat, *layer.dilation), padding.sides
            if is_transposed(layer):
                steps, sides = (1, 1, *layer.dilation), _around(layer, (in_h, in_w), (out_h, out_w))
                if min(sides) < 0:
                    raise InputError(
                        f"transposed convolution {name} cannot be simulated: its padding={layer.padding} is "
                        f"larger than its kernel"
                    )
            found.append(Layer(name, *sizes, layer.groups, *steps, maps, *sides))
            found[-1].check()

    def use(name: str, macs: int) -> None:
        layer = layers[name]
        if not isinstance(layer, nn.Linear):
            raise InputError(
                f"convolution {name} cannot be simulated: its weight is used without calling the layer"
            )
        tokens = macs // layer.weight.numel()
        found.append(Layer(name, layer.in_features, layer.out_features, 1, 1, 1, tokens, 1, tokens))

    model = plain_copy(model)  # layers that compute their weights become ordinary layers
    layers = weight_layers(model)
    handles = [layer.register_forward_pre_hook(padding.start) for layer in layers.values()]
    handles += [
        layer.register_forward_hook(lambda layer, x, y, name=name: remember(name, layer, x, y))
        for name, layer in layers.items()
    ]
    try:
        with counted(model, use), padding:
            run(model, example)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _around(layer: nn.ConvTranspose2d, inputs: Sequence[int], outputs: Sequence[int]) -> list[int]:
    """Return the padding at the top, left, bottom and right of a transposed convolution as a convolution."""
    spans = [step * (side - 1) for step, side in zip(layer.dilation, layer.kernel_size, strict=True)]
    first = [span - padding for span, padding in zip(spans, layer.padding, strict=True)]
    sizes = zip(outputs, spans, inputs, first, strict=True)
    return [*first, *(output + span - given - before for output, span, given, before in sizes)]


class _Padding(TorchFunctionMode):
    """Observes the padding of a layer while it runs: the argument of its convolution, and calls of ``pad``.

    ``sides`` is the padding at the top, left, bottom and right.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sides = [0, 0, 0, 0]

    def start(self, *_: object) -> None:
        self.sides = [0, 0, 0, 0]

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        if func is functional.pad:
            self._pad(*args, **kwargs)
        elif func in (functional.conv1d, functional.conv2d):
            self._convolve(*args, **kwargs)
        return func(*args, **kwargs)

    def _pad(self, input: Tensor, pad: Sequence[int], *_: object, **__: object) -> None:
        left, right, top, bottom = [*pad, 0, 0, 0, 0][:4]
        self._add(top, left, bottom, right)

    def _convolve(
        self,
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        *_: object,
        **__: object,
    ) -> None:
        axes = weight.ndim - 2
        if padding == "same":
            spans = [
                step * (side - 1) for step, side in zip(_each(dilation, axes), weight.shape[2:], strict=True)
            ]
            first = [span // 2 for span in spans]
            last = [span - span // 2 for span in spans]
        else:
            first = last = _each(0 if padding == "valid" else padding, axes)
        flat = [0] * (2 - axes)  # a sequence is an image with one row
        self._add(*flat, *first, *flat, *last)

    def _add(self, *sides: int) -> None:
        self.sides = [before + more for before, more in zip(self.sides, sides, strict=True)]


def _each(value: Any, axes: int) -> list[int]:
    return [value] * axes if isinstance(value, int) else list(value) * (axes // len(value))


def write_workload(layers: Sequence[Layer], path: Path) -> None:
    """Write layers to a CSV file that ``read_workload`` can read."""
    pd.DataFrame([asdict(layer) for layer in layers]).to_csv(path, index=False)


def read_workload(path: str | Path) -> list[Layer]:
    """Read layers from a CSV file with a column for each field of ``Layer``, or by a name in conf/shapes.

    The columns from ``groups`` on may be missing; they are 1 by default, and padding is 0. Raises
    ``InputError`` for a file that cannot be read, for missing or unknown columns, and, with its line, for an
    impossible layer, such as one with more outputs than its inputs and padding allow.
    """
    known = sorted(file.stem for file in _SHAPES.glob("*.csv"))
    if str(path) in known:
        path = _SHAPES / f"{path}.csv"
    elif Path(path).suffix != ".csv":
        raise InputError(f"workload={path} is neither a file NAME.csv nor one of {', '.join(known)}")
    try:
        table = pd.read_csv(path, dtype={"name": str}, keep_default_na=False)
    except (OSError, ParserError, ValueError) as error:
        raise InputError(f"workload {path} cannot be read: {str(error).splitlines()[0]}") from error
    names = [field.name for field in fields(Layer)]
    if missing := [name for name in names if name not in table and name not in _OPTIONAL]:
        raise InputError(f"workload {path} has no column {', '.join(missing)}")
    if unknown := [name for name in table if name not in names]:
        raise InputError(f"workload {path} has an unknown column {unknown[0]}; known are {', '.join(names)}")
    if not isinstance(table.index, pd.RangeIndex):
        raise InputError(f"workload {path} has lines with more fields than its header has columns")
    if table.empty:
        raise InputError(f"workload {path} has no layers")
    table = table.assign(**{name: value for name, value in _OPTIONAL.items() if name not in table})
    for name in names[1:]:
        if not pd.api.types.is_integer_dtype(table[name]):
            raise InputError(f"workload {path}: column {name} must hold whole numbers")
    with Path(path).open(newline="") as file:
        written = csv.reader(file)
        places = [written.line_num for cells in written if len(cells) > 1 or "".join(cells).strip()][1:]
    layers = []
    for place, (name, *sizes) in zip(places, table[names].itertuples(index=False), strict=True):
        try:
            layer = Layer(name, *map(int, sizes))
            layer.check()
        except InputError as error:
            raise InputError(f"workload {path}, line {place}: {error}") from error
        for side, most in layer.most_outputs.items():
            if getattr(layer, side) < most:
                log.warning(
                    "workload %s, line %d: layer %s has %s=%d, but its inputs give %d outputs",
                    *(path, place, name, side, getattr(layer, side), most),
                )
        layers.append(layer)
    return layers
