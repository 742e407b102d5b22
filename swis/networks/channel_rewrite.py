"""Rewrites of a folded network that keep its function: equalization and permutation of channels.

Two layers are linked if the output of the first reaches only the second, through channel-wise functions. The
channels between them can be scaled (cross-layer equalization, Nagel et al. 2019) and reordered at no cost.
An order by size helps SWIS, because neighbouring weights share a shift set.
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
    """min(max(x, 0), limit): a scaled ReLU6 with one limit per channel, [channels, 1, 1] for images."""

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
    """Two linked layers and the modules between them, by name; only the second uses the first's output."""

    first: str
    second: str
    between: tuple[str, ...]


def rewritten(model: nn.Module, example: Example, rewrites: Sequence[str]) -> nn.Module:
    """Return a network with the named ``rewrites`` (of ``REWRITES``) applied, one after another.

    ``example``: the size of an image, for which noise is used, or inputs. Raises ``InputError`` if the graph
    of the network cannot be traced, or if the rewritten network computes something else on ``example``.
    """
    for name in rewrites:
        require_known("rewrite", name, REWRITES)
        model = {"equalize": equalize, "permute": permute}[name](model, example)
    return model


def links(model: nn.Module) -> list[Link]:
    """Return the pairs of linked layers, in the order of their calls.

    Raises ``InputError`` if torch.fx cannot trace the network.

    >>> links(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.Conv2d(2, 2, 3)))
    [Link(first='0', second='2', between=('1',))]
    """
    try:
        graph = _Tracer().trace(model)
    except Exception as error:  # the network's own code can raise any error on proxies
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"rewrites need torch.fx, which cannot trace this network: {reason}") from error
    modules = dict(model.named_modules())
    calls = Counter(node.target for node in graph.nodes if node.op == "call_module")
    found = []

    def once(node: fx.Node | None, fits: Callable[[nn.Module], bool]) -> bool:
        """Return whether a node is the only call of a module that fits."""
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
            continue  # a linear layer uses the last axis, which is not the axis of channels
        if inputs_of(modules[after.target]) == outputs_of(modules[node.target]):
            found.append(Link(node.target, after.target, tuple(between)))
    return found


def equalize(model: nn.Module, example: Example) -> nn.Module:
    """Return a copy of a network in which the channels between linked layers have equal ranges of weights.

    With the ranges r1 and r2 of a channel's weights in the first and the second layer, the weights of the
    first are divided by s = sqrt(r1 / r2) and those of the second multiplied by s. This is repeated over all
    links. A ReLU6 in between becomes a ReLU with limit 6 / s. Raises ``InputError`` as ``rewritten``.

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
            weight1, weight2 = filters_of(first).data, filters_of(second).data
            incoming = _by_input(weight2, second)
            range1, range2 = weight1.flatten(1).abs().amax(1), incoming.abs().amax((1, 3)).flatten()
            ratio = torch.where(
                (range1 > 0) & (range2 > 0), (range1 / range2).sqrt(), torch.ones_like(range1)
            )
            total[link] *= ratio
            put_filters(first, weight1 / ratio.reshape(-1, *[1] * (weight1.ndim - 1)))
            if first.bias is not None:
                first.bias.data /= ratio
            scaled_weight = incoming * ratio.reshape(len(incoming), 1, -1, 1)
            put_filters(second, scaled_weight.reshape(weight2.shape))
    for link in scaled:
        for name in link.between:
            if isinstance(modules[name], nn.ReLU6):
                one = [1] * axes_of(modules[link.first])
                changed.set_submodule(name, LimitedReLU((6 / total[link]).reshape(-1, *one)))
    return _same_function(changed, model, example)


def permute(model: nn.Module, example: Example) -> nn.Module:
    """Return a copy of a network in which the channels between linked layers are sorted by size, descending.

    The size of a channel is the mean magnitude of its weights in the second layer, each relative to the
    largest weight of its filter. A depthwise layer passes the order on to the layer before it. Raises
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
        while _keeps_channels(modules[chain[-1].first]) and chain[-1].first in before:
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
    """Traces into modules, except into layers, channel-wise functions and modules that cannot be traced."""

    def is_leaf_module(self, module: nn.Module, name: str) -> bool:
        return is_layer(module) or _channelwise(module) or super().is_leaf_module(module, name)

    def call_module(self, module: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> fx.Proxy:
        try:
            return super().call_module(module, forward, args, kwargs)
        except fx.proxy.TraceError:  # its control flow depends on its input, as in timm's VGG head
            return self.create_proxy("call_module", self.path_of_module(module), args, kwargs)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _scales(link: Link, modules: dict[str, nn.Module]) -> bool:
    """Return whether channels can be scaled across the modules of a link: all are homogeneous or ReLU6."""
    return all(isinstance(modules[name], (*_HOMOGENEOUS, nn.ReLU6)) for name in link.between)


def _channelwise(module: nn.Module) -> bool:
    return isinstance(module, _CHANNELWISE)


def _keeps_channels(layer: nn.Module) -> bool:
    return is_depthwise(layer) and inputs_of(layer) == outputs_of(layer)


def _reorder(module: nn.Module, order: Tensor) -> None:
    """Reorder the output channels of a module, in place."""
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
    """Return the changed network in the original's type; raise ``InputError`` if its output differs."""
    dtype = next(model.parameters()).dtype
    inputs = probe(example, next(changed.parameters()).device, torch.float64)
    with torch.inference_mode():
        expected = inputs.run(plain_copy(model).double().eval())
        got = inputs.run(changed.eval())
    if not close(got, expected, 1e-9):
        raise InputError("rewrites change the output of this network; leave them out")
    return changed.to(dtype)
