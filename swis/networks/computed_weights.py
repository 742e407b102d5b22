"""Plain copies of networks: computed weights become parameters of plain layers.

A plain layer is of torch's own class and stores the weight that it uses. Weight normalisation, pruning and
weight standardisation compute the weight from other tensors at every call instead.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import (
    SpectralNorm,
    SpectralNormLoadStateDictPreHook,
    SpectralNormStateDictHook,
)
from torch.nn.utils.weight_norm import WeightNorm
from torch.overrides import TorchFunctionMode

from swis.errors import InputError
from swis.networks.inputs import Example, Inputs, close, probe
from swis.networks.layers import LAYER_KINDS, axes_of, inputs_of, is_layer, outputs_of

_REWEIGHTING = (WeightNorm, SpectralNorm, BasePruningMethod)
_OPERATIONS = {F.linear, F.conv1d, F.conv2d, F.conv_transpose2d}
# The largest allowed error of a plain layer, relative to the largest output of the layer it replaces.
_TOLERANCE = 1e-5
# The same for whole networks in float32. Rounding errors grow with the depth, to 6e-6 in timm's networks.
_NETWORK_TOLERANCE = 1e-3


def plain_copy(model: nn.Module, example: Example | None = None) -> nn.Module:
    """Return a copy of a network in which computed weights are parameters.

    Computed weights are those of parametrizations, ``weight_norm``, ``spectral_norm`` and pruning, as in
    evaluation mode. A layer of another class that computes its weight at every call, such as a
    weight-standardised convolution, becomes a plain layer if that computes the same. With ``example`` (the
    size of an image, or inputs) the outputs of both networks are compared if a layer was replaced. Raises
    ``InputError`` if they differ, if another kind of hook computes a weight, and for a lazy layer without
    weights.

    >>> from timm.layers import StdConv2d
    >>> [type(layer).__name__ for layer in plain_copy(nn.Sequential(StdConv2d(3, 8, 3)))]
    ['Conv2d']
    """
    for name, module in model.named_modules():
        if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
            raise InputError(f"layer {name} has no weights before its first call; run the network once")
    plain = copied(model)
    shared = _Shared()
    for name, module in plain.named_modules():
        _replace_hooks(module, shared)
        _replace_parametrizations(module, shared)
        if isinstance(module, LAYER_KINDS) and "weight" not in module._parameters:
            raise InputError(
                f"layer {name}: an unknown hook computes its weight at every call; make it a parameter"
            )
    replaced = []
    for name, layer in list(plain.named_modules()):
        if isinstance(layer, LAYER_KINDS) and not is_layer(layer):
            plain_layer = _plain_layer(layer, shared)
            if plain_layer is not None:
                # in place, because modules can also hold their layers in lists
                layer.__class__, layer.__dict__ = type(plain_layer), vars(plain_layer)
                replaced.append(name)
    if replaced and example is not None:
        _check(plain, model, example, replaced)
    return plain


def _check(plain: nn.Module, model: nn.Module, example: Example, replaced: list[str]) -> None:
    """Raise ``InputError`` if the output of a network with ``replaced`` layers differs."""
    first = next(model.parameters())
    inputs = probe(example, first.device, first.dtype)
    with torch.no_grad():
        # copies, because a network can store its inputs
        expected, got = (inputs.run(copied(network).eval()) for network in (model, plain))
    if not close(got, expected, _NETWORK_TOLERANCE, equal_nan=True):
        raise InputError(
            f"plain layers in place of {', '.join(replaced)} change the output of the network: "
            "one of the layers does more than compute its weight"
        )


def copied(model: nn.Module) -> nn.Module:
    """Return a deep copy of a network, even if it stores results of autograd."""
    # hooks can store results of autograd, which copy.deepcopy does not accept
    results = [value for value in _held_tensors(model) if not value.is_leaf]
    return copy.deepcopy(model, {id(value): value.detach().clone() for value in results})


def twin(model: nn.Module) -> nn.Module:
    """Return a copy of a network that shares only its parameters and buffers."""
    shared = {id(value): value for value in (*model.parameters(), *model.buffers())}
    results = {id(value): value.detach() for value in _held_tensors(model) if not value.is_leaf}
    return copy.deepcopy(model, shared | results)


def check_stateless(model: nn.Module, one: Inputs, other: Inputs) -> None:
    """Raise ``InputError`` if a network stores results of its inputs in itself.

    Calibration runs many inputs at the same time, so such results would be mixed up.
    """
    copy_of_it, held = twin(model), []
    with torch.no_grad():
        for inputs in (one, other):
            inputs.run(copy_of_it)
            held.append(
                {
                    f"{name}.{key}".removeprefix("."): value.clone()
                    for name, module in copy_of_it.named_modules()
                    for key, value in vars(module).items()
                    if isinstance(value, Tensor)
                }
            )
    for name in held[0].keys() & held[1].keys():
        if not _equal(held[0][name], held[1][name]):
            raise InputError(
                f"the network stores results of its inputs in {name}; return them instead, because "
                "calibration runs many inputs at the same time"
            )


def _held_tensors(model: nn.Module) -> Iterator[Tensor]:
    """Yield the tensors that a network's modules hold, including those in lists, tuples and dicts."""
    left, seen = [vars(module) for module in model.modules()], set()
    while left:
        value = left.pop()
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, dict | list | tuple) and id(value) not in seen:
            seen.add(id(value))
            left += value.values() if isinstance(value, dict) else value


class _Shared:
    """The new parameters by the tensors they were computed from, so that layers still share them."""

    def __init__(self) -> None:
        self._made: dict[tuple[int, ...], tuple[list[Tensor], nn.Parameter]] = {}

    def parameter(self, sources: Sequence[Tensor], value: Tensor) -> nn.Parameter:
        """Return a parameter with this value; the earlier one if ``sources`` and values are equal."""
        key = tuple(map(id, sources))
        if key in self._made and _equal(self._made[key][1], value):
            return self._made[key][1]
        made = nn.Parameter(value.detach().clone(), any(source.requires_grad for source in sources))
        self._made[key] = list(sources), made  # keeps the sources alive, so that ids stay unique
        return made


def _equal(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and (one.is_meta or torch.equal(one, other))


def _replace_hooks(module: nn.Module, shared: _Shared) -> None:
    """Replace the tensors that hooks compute by parameters, and remove the hooks, in place."""
    found = {key: hook for key, hook in module._forward_pre_hooks.items() if isinstance(hook, _REWEIGHTING)}
    for key, hook in found.items():
        name = getattr(hook, "_tensor_name", None) or hook.name
        parts = [f"{name}_{part}" for part in ("g", "v", "orig")]
        sources = [value for other, value in module._parameters.items() if other in parts]
        hook.remove(module)
        del module._forward_pre_hooks[key]
        made = shared.parameter(sources, getattr(module, name))
        delattr(module, name)
        setattr(module, name, made)  # not register_parameter: an LSTM keeps a list of its weights
    for hooks in (module._state_dict_hooks, module._load_state_dict_pre_hooks):
        for key, hook in list(hooks.items()):
            inner = getattr(hook, "hook", hook)  # torch wraps some of them
            if isinstance(inner, SpectralNormStateDictHook | SpectralNormLoadStateDictPreHook):
                del hooks[key]


def _replace_parametrizations(module: nn.Module, shared: _Shared) -> None:
    """Replace the tensors that parametrizations compute by parameters, in place.

    ``remove_parametrizations`` is not used, because it changes the class, which the original shares.
    """
    if not is_parametrized(module):
        return
    parametrizations = module.parametrizations.eval()
    with torch.no_grad():
        values = {name: getattr(module, name) for name in parametrizations}
    del module._modules["parametrizations"]
    module.__class__ = type(module).__bases__[0]
    for name, value in values.items():
        sources = list(parametrizations[name].parameters(recurse=False))
        if sources:
            setattr(module, name, shared.parameter(sources, value))
        else:
            module.register_buffer(name, value.detach().clone())


def _plain_layer(layer: nn.Module, shared: _Shared) -> nn.Module | None:
    """Return the plain layer that computes the same as ``layer``; None if there is none."""
    runs = []
    try:
        for probe in _probes(layer):
            twin = _twin(layer)  # a new copy, because some layers store their input
            with _Watch() as watch, torch.no_grad():
                output = twin.forward(probe)
            (call,) = watch.calls
            runs.append((probe, output, call["weight"], call.get("bias")))
    except Exception:  # its forward can raise any error on a single tensor, or call other functions
        return None
    weight, bias = runs[0][2:]
    if weight.shape != layer.weight.shape or any(not torch.equal(weight, run[2]) for run in runs):
        return None
    for made in _candidates(layer):
        made.weight = nn.Parameter(weight)
        made.bias = None if bias is None else nn.Parameter(bias)
        if all(_same(made, probe, output) for probe, output, *_ in runs):
            break
    else:
        return None
    for name, used in (("weight", weight), ("bias", bias)):
        own = getattr(twin, name)
        if used is None or (own is not None and own.shape == used.shape and torch.equal(own, used)):
            setattr(made, name, None if used is None else getattr(layer, name))
        else:
            sources = list(layer.parameters(recurse=False))
            setattr(made, name, shared.parameter(sources, used.to(layer.weight)))
    vars(made).update({key: value for key, value in vars(layer).items() if "hook" in key})
    return made.train(layer.training)


def _twin(layer: nn.Module) -> nn.Module:
    """Return a copy of a layer in float64 and evaluation mode; a layer on "meta" gets random values."""
    twin = copy.deepcopy(layer).double().eval()
    if layer.weight.is_meta:
        twin, generator = twin.to_empty(device="cpu"), torch.Generator().manual_seed(0)
        for value in (*twin.parameters(), *twin.buffers()):
            value.data.normal_(generator=generator)
    return twin


def _probes(layer: nn.Module) -> Iterator[Tensor]:
    """Yield inputs of several sizes, because padding can depend on the size, and of several magnitudes."""
    generator = torch.Generator().manual_seed(0)
    axes = axes_of(layer)
    device = "cpu" if layer.weight.is_meta else layer.weight.device
    for more, scale in ((1, 1.0), (2, 1e3), (2, 1e-3), (5, 1.0)):
        sizes = [
            dilation * (kernel - 1) + stride + more + axis
            for axis, (kernel, dilation, stride) in enumerate(
                zip(layer.kernel_size, layer.dilation, layer.stride, strict=True) if axes else ()
            )
        ]
        inputs = torch.randn(2, inputs_of(layer), *sizes, generator=generator, dtype=torch.float64)
        yield (scale * inputs).to(device)


def _candidates(layer: nn.Module) -> Iterator[nn.Module]:
    """Yield plain layers, without weights, that may compute the same as ``layer``."""
    if isinstance(layer, nn.Linear):
        yield nn.Linear(inputs_of(layer), outputs_of(layer), device="meta")
        return
    settings = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    if isinstance(layer, nn.ConvTranspose2d):
        settings["output_padding"] = layer.output_padding
    kind = next(kind for kind in LAYER_KINDS if isinstance(layer, kind))
    sizes = (inputs_of(layer), outputs_of(layer), layer.kernel_size)
    # on "meta", so that the random generator is not used
    yield kind(*sizes, **settings, padding_mode=layer.padding_mode, device="meta")
    if kind is nn.Conv2d:
        yield Conv2dSame(*sizes, **settings, device="meta")


def _same(made: nn.Module, probe: Tensor, expected: Tensor) -> bool:
    with torch.no_grad():
        got = made(probe)
    size = float(expected.abs().max())
    return got.shape == expected.shape and torch.allclose(got, expected, rtol=0, atol=_TOLERANCE * size)


class _Watch(TorchFunctionMode):
    """Records the arguments of convolutions and linear functions."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[dict[str, Any]] = []

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if function in _OPERATIONS:
            self.calls.append(dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs)
        return function(*args, **kwargs)
