"""Rewriting a folded network, function unchanged: channels equalized, channels permuted.

Where one layer's output reaches one other layer alone, through channel-wise functions, its channels can be
scaled there and back (cross-layer equalization, Nagel et al. 2019) and put in any order, at no cost. SWIS
gains from an order in which weights of like size are neighbours, since neighbours share a shift set.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn

from swis.errors import InputError
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example, close, probe
from swis.networks.layers import (
    axes_of,
    filters_of,
    groups_of,
    inputs_of,
    is_depthwise,
    is_layer,
    outputs_of,
    put_filters,
)
from swis.options.names import require_known

REWRITES = ("equalize", "permute")
_ROUNDS = 20


class LimitedReLU(nn.Module):
    """min(max(x, 0), limit), with a limit for every channel, [channels, 1, 1] of images: ReLU6 scaled."""

    def __init__(self, limit: Tensor) -> None:
        super().__init__()
        self.register_buffer("limit", limit)

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp_min(0).minimum(self.limit)


_HOMOGENEOUS = (
    *(nn.Identity, nn.Dropout, nn.ReLU, nn.LeakyReLU, nn.Flatten),
    *(nn.AvgPool2d, nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
)
_CHANNELWISE = (
    *_HOMOGENEOUS,
    *(
        nn.ReLU6,
        LimitedReLU,
        nn.SiLU,
        nn.GELU,
        nn.Hardswish,
        nn.Hardsigmoid,
        nn.Sigmoid,
        nn.Tanh,
        nn.ELU,
        nn.Softplus,
    ),
)


@dataclass(frozen=True)
class Link:
    """Two layers by name, and the names of all that lies between them: no other takes the first's output."""

    first: str
    second: str
    between: tuple[str, ...]


def rewritten(model: nn.Module, example: Example, rewrites: Sequence[str]) -> nn.Module:
    """Return a network rewritten in the ways named, of ``REWRITES``, one after another.

    Raises ``InputError`` if its graph cannot be traced or the network computes something
    else then, on ``example``: noise of an image's size, or inputs.
    """
    for name in rewrites:
        require_known("rewrite", name, REWRITES)
        model = {"equalize": equalize, "permute": permute}[name](model, example)
    return model


def links(model: nn.Module) -> list[Link]:
    """Return the pairs of layers between which channels can be permuted, in the order they run.

    Raises ``InputError`` for a network whose graph torch.fx cannot trace.

    >>> links(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)))
    [Link(first='0', second='2', between=('1',))]
    """
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # whatever a network's own code raises on proxies
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"rewrites need a network that torch.fx can trace, not this one: {reason}"
        ) from error
    modules = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    found = []

    def once(node: fx.Node | None, fits: Callable[[nn.Module], bool]) -> bool:
        """Whether a node is the only call of a module that fits."""
        return (
            node is not None
            and node.op == "call_module"
            and fits(modules[node.target])
            and calls[node.target] == 1
        )

    for node in graph.nodes:
        if not once(node, is_layer):
            continue
        between, after = [], _only_user(node)
        while once(after, _channelwise):
            between.append(after.target)
            after = _only_user(after)
        if not once(after, is_layer):
            continue
        flat = any(isinstance(modules[name], nn.Flatten) for name in between)
        if isinstance(modules[after.target], nn.Linear) and axes_of(modules[node.target]) and not flat:
            continue  # it works on the last axis, which is not the channels'
        if inputs_of(modules[after.target]) == outputs_of(modules[node.target]):
            found.append(Link(node.target, after.target, tuple(between)))
    return found


def equalize(model: nn.Module, example: Example) -> nn.Module:
    """Copy a network with the channels between linked layers scaled to equal ranges of weights.

    s = sqrt(r1 / r2) of the ranges r1 of a channel's weights in the first layer and r2 in the second divides
    the first's and multiplies the second's, until nothing changes. A ReLU6 between them gets limits 6 / s.
    Raises ``InputError`` as ``rewritten``.

    >>> model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Conv2d(1, 1, 1))
    >>> _ = model[0].weight.data.fill_(8.0), model[2].weight.data.fill_(2.0)
    >>> equalized = equalize(model, (1, 2, 2))
    >>> equalized[0].weight.item(), equalized[2].weight.item()
    (4.0, 4.0)
    """
    changed = plain_copy(model).double()
    modules = dict(changed.named_modules())
    scaled = [link for link in links(changed) if _scales(link, modules)]
    total = {link: torch.ones(outputs_of(modules[link.first]), dtype=torch.float64) for link in scaled}
    for _ in range(_ROUNDS):
        for link in scaled:
            first, second = modules[link.first], modules[link.second]
            making, meeting = filters_of(first).data, filters_of(second).data
            met = _by_input(meeting, second)
            made, taken = making.flatten(1).abs().amax(1), met.abs().amax((1, 3)).flatten()
            ratio = torch.where((made > 0) & (taken > 0), (made / taken).sqrt(), torch.ones_like(made))
            total[link] *= ratio
            put_filters(first, making / ratio.reshape(-1, *[1] * (making.ndim - 1)))
            if first.bias is not None:
                first.bias.data /= ratio
            put_filters(second, (met * ratio.reshape(len(met), 1, -1, 1)).reshape(meeting.shape))
    for link in scaled:
        for name in link.between:
            if isinstance(modules[name], nn.ReLU6):
                one = [1] * axes_of(modules[link.first])
                changed.set_submodule(name, LimitedReLU((6 / total[link]).reshape(-1, *one)))
    return _same_function(changed, model, example)


def permute(model: nn.Module, example: Example) -> nn.Module:
    """Copy a network with the channels between linked layers in descending order of the weights they meet.

    The size of a channel is the mean size of the weights that the layer behind it multiplies it with, each
    relative to its filter's largest. Depthwise layers hand the order on to what feeds them. Raises
    ``InputError`` as ``rewritten``.

    >>> model = nn.Sequential(nn.Linear(1, 2), nn.ReLU(), nn.Linear(2, 1))
    >>> _ = model[2].weight.data.copy_(torch.tensor([[1.0, 3.0]]))
    >>> permute(model, (1,))[2].weight.tolist()
    [[3.0, 1.0]]
    """
    changed = plain_copy(model).double()
    modules = dict(changed.named_modules())
    found = links(changed)
    before = {link.second: link for link in found}
    for link in found:
        last = modules[link.second]
        chain = [link]
        while _hands_on(modules[chain[-1].first]) and chain[-1].first in before:
            chain.append(before[chain[-1].first])
        if groups_of(last) > 1 or groups_of(modules[chain[-1].first]) > 1:
            continue
        order = _sizes(last).argsort(descending=True, stable=True)
        put_filters(last, filters_of(last).data[:, order])
        for part in chain:
            for name in (part.first, *part.between):
                _reorder(modules[name], order)
    return _same_function(changed, model, example)


class _Tracer(fx.Tracer):
    """Looks into modules as far as they can be traced; into layers and channel-wise functions not at all."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return is_layer(module) or _channelwise(module) or super().is_leaf_module(module, name)

    def call_module(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> fx.Proxy:
        try:
            return super().call_module(module, forward, args, kwargs)
        except fx.proxy.TraceError:  # it decides by what it sees, as timm's VGG head does
            return self.create_proxy("call_module", self.path_of_module(module), args, kwargs)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _scales(link: Link, modules: dict[str, nn.Module]) -> bool:
    """Whether channels can be scaled across what lies between: it is homogeneous, or one ReLU6."""
    return all(isinstance(modules[name], (*_HOMOGENEOUS, nn.ReLU6)) for name in link.between)


def _channelwise(module: nn.Module) -> bool:
    return isinstance(module, _CHANNELWISE)


def _hands_on(layer: nn.Module) -> bool:
    return is_depthwise(layer) and inputs_of(layer) == outputs_of(layer)


def _reorder(module: nn.Module, order: Tensor) -> None:
    """Bring the channels that a module puts out into another order, in place."""
    if is_layer(module):
        put_filters(module, filters_of(module).data[order])
    for name, values in (*module.named_parameters(), *module.named_buffers()):
        if name != "weight" or not is_layer(module):
            values.data = values.data[order]


def _by_input(filters: Tensor, layer: nn.Module) -> Tensor:
    """Return a layer's filters as [groups, filters, inputs, taps]."""
    return filters.reshape(groups_of(layer), -1, filters.shape[1], filters[0, 0].numel())


def _sizes(layer: nn.Module) -> Tensor:
    weight = _by_input(filters_of(layer).data, layer)[0].abs()
    relative = weight / weight.amax((1, 2), keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny)
    return relative.mean((0, 2))


def _same_function(changed: nn.Module, model: nn.Module, example: Example) -> nn.Module:
    """Return what was changed, in the type of the original; raise ``InputError`` if it computes otherwise."""
    kind = next(model.parameters()).dtype
    inputs = probe(example, next(changed.parameters()).device, torch.float64)
    with torch.inference_mode():
        expected = inputs.run(plain_copy(model).double().eval())
        got = inputs.run(changed.eval())
    if not close(got, expected, 1e-9):
        raise InputError("channels of this network cannot be rewritten; leave out rewrites")
    return changed.to(kind)
