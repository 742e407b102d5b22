"""The MACs (multiply-accumulates) of a network: in layers, with float weights, and between activations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from swis.errors import InputError
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Example, zeros
from swis.networks.layers import float_weights, weight_layers

_CONVOLUTION = torch.ops.aten.convolution


@dataclass
class Macs:
    """The MACs of a network for one input.

    ``layers``: MACs of each layer by name. ``float_weights``: MACs with weights outside of layers, or with
    weights that the network computes, such as a mixture of kernels. ``between_activations``: MACs without a
    weight, as in attention. ``uncalled``: layers whose weight is used without a call of the layer.
    """

    layers: dict[str, int]
    float_weights: int = 0
    between_activations: int = 0
    uncalled: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        return sum(self.layers.values()) + self.float_weights + self.between_activations


def network_macs(model: nn.Module, example: Example) -> Macs:
    """Return the MACs of a network for one input.

    ``example``: the size [C, H, W] of an image, or inputs, of which the first one is used.

    >>> network_macs(nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3)), (1, 4, 4)).layers
    {'0': 72, '2': 24}
    """
    plain = plain_copy(model)
    with counted(plain) as macs:
        run(plain, example)
    return macs


def layer_macs(model: nn.Module, example: Example) -> dict[str, int]:
    """Return the MACs of each layer for one input; ``example`` is that of ``network_macs``.

    >>> layer_macs(nn.Sequential(nn.Linear(8, 3)), (8,))
    {'0': 24}
    """
    return network_macs(model, example).layers


def share_of_float(model: nn.Module, macs: Macs) -> str | None:
    """Return a text with the share of weights and MACs that stay float, and their modules; None if none do.

    >>> network = nn.Sequential(nn.Embedding(3, 2), nn.Linear(2, 3))
    >>> share_of_float(network, Macs({"1": 6}))
    '50.0 % of the weights and 0.0 % of the MACs stay float, at 32 bits a weight: 0'
    """
    left = float_weights(model)
    if not left:
        return None
    count = sum(weight.numel() for weight in left.values())
    in_layers = {id(layer.weight): layer.weight.numel() for layer in weight_layers(model).values()}
    owners = list(dict.fromkeys(name.rpartition(".")[0] or name for name in left))
    named = owners[:8] + ([f"{len(owners) - 8} more"] if len(owners) > 8 else [])
    of_weights = 100 * count / (count + sum(in_layers.values()))
    of_macs = 100 * macs.float_weights / max(1, macs.float_weights + sum(macs.layers.values()))
    return (
        f"{of_weights:.1f} % of the weights and {of_macs:.1f} % of the MACs stay float, at 32 bits a weight: "
        f"{', '.join(named)}"
    )


def oddities(macs: Macs) -> list[str]:
    """Return warnings for layers that are not used, and for layers that are used without a call.

    >>> oddities(Macs({"head": 0}))
    ['layers that are not used, and so have no MACs: head']
    """
    idle = [name for name, count in macs.layers.items() if count == 0]
    warnings = [f"layers that are not used, and so have no MACs: {', '.join(idle)}"] if idle else []
    if macs.uncalled:  # attention modules, for example, use a layer's weight directly
        names = ", ".join(macs.uncalled)
        warnings.append(f"layers that are used without a call, so that their activations stay float: {names}")
    return warnings


def run(model: nn.Module, example: Example) -> None:
    """Run a network once, on an image of zeros of the size ``example``, or on the first of the inputs."""
    with torch.inference_mode():
        zeros(example, next(model.parameters())).run(model)


@contextmanager
def counted(model: nn.Module, used: Callable[[str, int], None] = lambda *_: None) -> Iterator[Macs]:
    """Within this context, count the MACs of a network.

    ``used`` is called with a layer's name and the number of MACs when its weight is used without a call.
    Raises ``InputError`` if a layer gets its input as a keyword argument.
    """
    layers = weight_layers(model)
    macs = Macs(dict.fromkeys(layers, 0))
    called: list[str] = []
    owners: dict[int, str] = {}
    for name, layer in layers.items():
        owners.setdefault(_memory(layer.weight), name)
    weights = {_memory(parameter): parameter for parameter in model.parameters()}

    def derive(operands: set[int], output: Any) -> None:
        if operands and operands <= weights.keys() and isinstance(output, Tensor):
            weights.setdefault(_memory(output), output)  # stays alive, so that its memory is not reused

    def record(operation: Any, operands: set[int], count: int) -> None:
        name = called[-1] if called else next((owners[at] for at in operands if at in owners), None)
        if name is not None:
            macs.layers[name] += count
            if not called:
                if name not in macs.uncalled:
                    macs.uncalled.append(name)
                used(name, count)
        elif operation is _CONVOLUTION or operands & weights.keys():
            macs.float_weights += count
        else:
            macs.between_activations += count

    def leave(*_: Any) -> None:
        called.pop()

    def enter(name: str, inputs: tuple) -> None:
        if not inputs:
            raise InputError(
                f"layer {name} gets its input as a keyword argument; pass it as a positional argument"
            )
        called.append(name)

    handles = []
    for name, layer in layers.items():
        handles.append(layer.register_forward_pre_hook(lambda _, inputs, name=name: enter(name, inputs)))
        handles.append(layer.register_forward_hook(leave))
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # torch cannot count the MACs of its fused operation
    try:
        with _Counting(record, derive):
            yield macs
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for handle in handles:
            handle.remove()


class _Counting(TorchDispatchMode):
    """Calls ``record`` for every operation with MACs: operation, memory of its operands, number of MACs.

    ``derive`` is called for every other operation: memory of its operands, output.
    """

    def __init__(
        self, record: Callable[[Any, set[int], int], None], derive: Callable[[set[int], Any], None]
    ) -> None:
        super().__init__()
        self.record, self.derive = record, derive

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operation = getattr(func, "_overloadpacket", func)
        if operation not in _FLOPS:
            with self:  # its parts can have MACs
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        output = func(*args, **kwargs)
        operands = {_memory(value) for value in args if isinstance(value, Tensor)}
        if operation not in _FLOPS:
            self.derive(operands, output)
        else:
            self.record(operation, operands, _FLOPS[operation](*args, **kwargs, out_val=output) // 2)
        return output


def _lstm_flops(inputs: Tensor, of_inputs: Tensor, of_state: Tensor, *_: Any, **__: Any) -> int:
    steps = inputs.shape[0] * inputs.shape[1]
    return 2 * steps * (of_inputs.numel() + of_state.numel())


def _trilinear_flops(one: Tensor, two: Tensor, three: Tensor, *expanded: Any, **__: Any) -> int:
    shapes = []
    for tensor, axes in zip((one, two, three), expanded, strict=False):
        for axis in axes:
            tensor = tensor.unsqueeze(axis)
        shapes.append(tensor.shape)
    return 2 * torch.broadcast_shapes(*shapes).numel()


# torch has no formulas for these; the first is the LSTM on a CPU, the second nn.Bilinear
_FLOPS = {
    **flop_registry,
    torch.ops.aten.mkldnn_rnn_layer: _lstm_flops,
    torch.ops.aten._trilinear: _trilinear_flops,
    torch.ops.aten.mv: lambda matrix, *_, **__: 2 * matrix.numel(),
    torch.ops.aten.addmv: lambda _, matrix, *__, **___: 2 * matrix.numel(),
    torch.ops.aten.dot: lambda one, *_, **__: 2 * one.numel(),
}


def _memory(tensor: Tensor) -> int:
    """Return an id that is equal for tensors that share their memory, also on the "meta" device."""
    return tensor.untyped_storage()._cdata
