"""A network of low bits as an ONNX file: weights are integers with scales, and layers' inputs are rounded.

The file is in QDQ form. An encoded weight is an initializer ``LAYER.weight`` of integers, int8, or int16 for
8 magnitude bits, with scales ``LAYER.weight_scale`` and zero points of 0, and a ``DequantizeLinear``; layers
that share a weight have it under the name of the first. The integers are the format's codes, sums of as many
powers of two as there are shifts. ONNX has no type for that: each takes all its 8 or 16 bits. Where
activations have few bits, a ``QuantizeLinear`` and a ``DequantizeLinear`` are before every layer, in uint8
for up to 8 bits and in uint16 for more. The model's metadata have one entry, ``swis``, JSON: ``version``,
``activation_bits`` and ``formats``, the settings of each weight format with the ``layers`` in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from swis.encoding.decompose import from_filters
from swis.encoding.encode import Encoded
from swis.encoding.metrics import sqnr_db
from swis.errors import InputError
from swis.networks.activations import ActivationRange, keep_activations
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Inputs, outputs_of
from swis.networks.layers import (
    filter_shape,
    float_weights,
    groups_of,
    inputs_of,
    is_transposed,
    weight_layers,
    weight_of,
)
from swis.runtime.files import write_atomically
from swis.runtime.notices import warn_once

_OPSET = 21  # the first that knows integers of 16 bits, and blocks of a scale each
_WHOLE = (8, 16)  # bits of which a type of integers has no more levels
_LARGEST = 2**31 - 2**20  # a file of ONNX holds at most 2 GiB, less what is no tensor

# How far outputs may be from the module's while no input of a layer is rounded, as a part of the largest one.
_TOLERANCE = 1e-4
# Rounded ones differ more: a value on the border of two levels may take either, and the layers behind follow.
# At worst they differ as two roundings do, 3 dB more than outputs without rounding; 1 dB is left to chance.
_FARTHER, _NEAR = 4.0, 60.0


class LowBit(Protocol):
    """A network of low bits, and the integers that its weights are.

    ``module`` has the decoded weights; with ``activation_bits`` it rounds layers' inputs by hooks, over
    ``ranges``. ``encoded`` and ``ranges`` go by the layers' names.
    """

    module: nn.Module
    encoded: Mapping[str, Encoded]
    ranges: Mapping[str, ActivationRange]
    activation_bits: int | None
    example: Inputs


class StoredWeight(NamedTuple):
    """A weight as a layer stores it: integers, and scales along ``axis``, or a single one.

    If ``block`` is not 0, the scales have the weight's shape but along ``axis``, where each serves so many.
    """

    codes: Tensor
    scale: Tensor
    axis: int = 0
    block: int = 0


def stored_weight(layer: nn.Module, encoded: Encoded) -> StoredWeight:
    """Return the integers and scales of a layer's weight in the layout of ``layer.weight``.

    Of a transposed convolution in groups every group has scales of its own, which are blocks.

    >>> from swis.encoding.encode import encode
    >>> from swis.formats.truncate import Truncate
    >>> layer = nn.Linear(2, 2)
    >>> found = stored_weight(layer, encode(torch.tensor([[1.27, 0.70], [0.0, 0.0]]), Truncate(shifts=1)))
    >>> found.codes.tolist(), found.scale.shape, found.axis
    ([[64, 64], [0, 0]], torch.Size([2]), 0)
    """
    codes = weight_of(layer, from_filters(encoded.codes, encoded.shape)).contiguous()
    if encoded.scale.numel() == 1:
        return StoredWeight(codes, encoded.scale.reshape(()))
    if not is_transposed(layer):
        return StoredWeight(codes, encoded.scale.flatten())
    if groups_of(layer) == 1:
        return StoredWeight(codes, encoded.scale.flatten(), axis=1)
    block = inputs_of(layer) // groups_of(layer)
    scale = weight_of(layer, encoded.scale.expand(filter_shape(layer)))
    return StoredWeight(codes, scale[::block].contiguous(), block=block)


def export_onnx(low: LowBit, path: str | Path, opset: int = _OPSET, check: bool = True) -> None:
    """Write a float32 network of low bits as an ONNX file in QDQ form, for any number of inputs at once.

    With ``check``, onnxruntime runs it on ``low.example`` with its optimizations off. Without the rounding of
    activations, outputs are the module's to 1e-4 of the largest; with it, they are at 60 dB to those of
    ``low.module``, or at most 4 dB farther from them than without. Raises ``InputError`` if they are not, for
    a network that cannot be traced, and without the packages of the extra ``onnx``: no file is written then.
    """
    ir, runtime = _packages()
    if opset < _OPSET:
        raise InputError(f"opset={opset}: the export needs {_OPSET} or later, which has 16-bit integers")
    module = plain_copy(low.module).cpu().eval()
    kinds = {value.dtype for value in module.state_dict().values() if value.is_floating_point()}
    if kinds != {torch.float32}:
        raise InputError("the export takes float32 networks; call module.float() first")
    layers, bits = weight_layers(module), low.activation_bits
    left = [*float_weights(module), *(f"{name}.weight" for name in layers if name not in low.encoded)]
    if left:
        warn_once(f"these weights are float in the ONNX file: {', '.join(left)}")
    rounded = _outputs(module, low.example) if check else []
    keep_activations(layers)
    exact = _outputs(module, low.example) if check else []
    if bits is not None:
        for name, interval in low.ranges.items():
            _round_inputs(layers[name], interval, bits)
    program = _traced(module, low.example, opset)
    _optimize_and_encode(ir, program, module, low.encoded)
    model = program.model
    ir.passes.common.ClearMetadataAndDocStringPass()(model)  # they name files of whoever exports
    model.metadata_props["swis"] = json.dumps(_about(low), sort_keys=True)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    if size > _LARGEST:
        raise InputError(f"{size / 2**30:.1f} GiB of tensors are more than a file of ONNX holds")

    def write(partial: str) -> None:
        ir.save(model, partial, format="protobuf")
        if not check:
            return
        got = _run(runtime, partial, low.example)
        if bits is None:
            _compare(got, exact)
        else:
            _compare(_run(runtime, _without_rounding(ir, model, bits), low.example), exact)
            _compare_rounded(got, rounded, exact)

    write_atomically(Path(path), write)


def _packages() -> tuple[ModuleType, ModuleType]:
    """Return onnxscript's intermediate representation and onnxruntime."""
    try:
        import onnxruntime
        from onnxscript import ir
    except ImportError as error:
        raise InputError(f'the export needs {error.name}: pip install "swis[onnx]"') from error
    return ir, onnxruntime


def _round_inputs(layer: nn.Module, interval: ActivationRange, bits: int) -> None:
    """Have a layer's input rounded in the traced network, as ``quantize_activations`` does it (by hook)."""
    kind = torch.uint8 if bits <= 8 else torch.uint16
    step, zero_point = interval.affine(bits)
    scale = torch.tensor(step)
    layer.register_buffer("input_scale", scale)
    layer.register_buffer("input_zero_point", torch.tensor(zero_point, dtype=kind))
    largest = float(scale * (2**bits - 1 - zero_point))

    def rounded(layer: nn.Module, inputs: tuple) -> tuple:
        grid, shape = (layer.input_scale, layer.input_zero_point), inputs[0].shape
        levels = torch.onnx.ops.symbolic("QuantizeLinear", (inputs[0], *grid), dtype=kind, shape=shape)
        values = torch.onnx.ops.symbolic("DequantizeLinear", (levels, *grid), dtype=scale.dtype, shape=shape)
        if bits not in _WHOLE:  # the type has more levels
            values = values.clamp(max=largest)
        return (values, *inputs[1:])

    layer.register_forward_pre_hook(rounded)


def _traced(module: nn.Module, example: Inputs, opset: int) -> torch.onnx.ONNXProgram:
    """Trace a network with its first axis of any length."""
    count, shapes = len(example), torch.export.ShapesCollection()

    def prepared(value: Tensor) -> Tensor:
        if value.ndim == 0 or len(value) != count:
            return value
        value = torch.cat([value, value])  # a length of 1 would be taken for a constant
        shapes[value] = {0: torch.export.Dim.DYNAMIC}
        return value

    inputs = example.to("cpu").map(prepared)
    try:
        program = torch.onnx.export(
            module,
            inputs.args,
            kwargs=inputs.kwargs,
            dynamic_shapes=shapes.dynamic_shapes(module, inputs.args, inputs.kwargs),
            opset_version=opset,
            optimize=False,
            verbose=False,
        )
    except torch.onnx.OnnxExporterError as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise InputError(f"the network cannot be exported to ONNX: {reason}") from error
    first = [each.shape[0] for each in program.model.graph.inputs if each.shape.rank()]
    program.rename_axes({axis: "batch" for axis in first if not isinstance(axis, int)})
    if program.model.opset_imports[""] != opset:
        raise InputError(f"opset={opset}: the network cannot be exported to ONNX with these operators")
    return program


def _optimize_and_encode(
    ir: ModuleType, program: torch.onnx.ONNXProgram, module: nn.Module, encoded: Mapping[str, Encoded]
) -> None:
    """Put integers and scales in place of the encoded weights of a program, in place."""
    layers, graph = weight_layers(module), program.model.graph
    # layers that share a weight come under the name of the first
    owners = {id(layers[name].weight): name for name in reversed(encoded)}
    parameters = dict(module.named_parameters(remove_duplicate=False))
    weights = {}
    for value in list(graph.initializers.values()):
        name = owners.get(id(parameters.get(value.name)))
        if name is not None:
            weights[name] = value
            del graph.initializers[value.name]
            value.const_value = None
    inputs = list(graph.inputs)
    graph.inputs.extend(weights.values())  # numbers of a later day, which the optimizer cannot transpose
    program.optimize()
    graph.inputs[:] = inputs
    nodes = []
    for name, value in weights.items():
        stored = stored_weight(layers[name], encoded[name])
        zero_point = torch.zeros_like(stored.scale, dtype=stored.codes.dtype)
        parts = {"weight": stored.codes, "weight_scale": stored.scale, "weight_zero_point": zero_point}
        output = ir.val(f"{name}.weight_float", value.dtype, value.shape)
        ir.convenience.replace_all_uses_with(value, output)
        tensors = [ir.tensor(part.numpy(force=True), name=f"{name}.{key}") for key, part in parts.items()]
        values = [ir.val(tensor.name, const_value=tensor) for tensor in tensors]
        for value in values:
            graph.register_initializer(value)
        attributes = {"axis": stored.axis, "block_size": stored.block}
        nodes.append(ir.node("DequantizeLinear", values, attributes, outputs=[output]))
    graph.insert_before(graph[0], nodes)


def _about(low: LowBit) -> dict[str, Any]:
    """Return what the metadata say."""
    layers: dict[Any, list[str]] = {}
    for name, encoded in low.encoded.items():
        layers.setdefault(encoded.fmt, []).append(name)
    formats = [fmt.settings() | {"layers": names} for fmt, names in layers.items()]
    return {"version": metadata.version("swis"), "activation_bits": low.activation_bits, "formats": formats}


def _outputs(module: nn.Module, example: Inputs) -> list[Tensor]:
    """Return the tensors that a network on the CPU gives back."""
    with torch.inference_mode():
        return outputs_of(example.to("cpu").run(module))


def _run(runtime: ModuleType, model: str | bytes, example: Inputs) -> list[Tensor]:
    """Return the outputs of a file, or of the bytes of one, with all operators as they are in it."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    arrays = [value.numpy(force=True) for value in example.tensors]
    try:
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # its exceptions have nothing else in common
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"onnxruntime does not run the exported network: {reason}") from error
    return list(map(torch.from_numpy, found))


def _without_rounding(ir: ModuleType, model: Any, bits: int) -> bytes:
    """Return the bytes of a model's copy whose layers see their inputs as they are."""
    model = model.clone()
    for node in model.graph:
        if node.op_type == "QuantizeLinear":
            ends = node.outputs[0].consumers()
            if bits not in _WHOLE:
                ends = [clip for end in ends for clip in end.outputs[0].consumers()]
            for end in ends:
                ir.convenience.replace_all_uses_with(end.outputs[0], node.inputs[0])
    return ir.to_proto(model).SerializeToString()


def _compare(got: list[Tensor], expected: list[Tensor]) -> None:
    """Raise ``InputError`` for outputs that are not those of the module."""
    for one, other in zip(got, expected, strict=True):
        error, largest = float((one.double() - other).abs().max()), float(other.double().abs().max())
        if not error <= _TOLERANCE * largest:
            raise InputError(
                f"onnxruntime's outputs are off the module's by {error:.1e}, of up to {largest:.1e}"
            )


def _compare_rounded(got: list[Tensor], expected: list[Tensor], exact: list[Tensor]) -> None:
    """Raise ``InputError`` for outputs that are not those of the module with its rounding."""
    for one, other, plain in zip(got, expected, exact, strict=True):
        near, least = sqnr_db(other, one), min(_NEAR, sqnr_db(other, plain) - _FARTHER)
        if not near >= least:
            raise InputError(
                f"onnxruntime's rounded outputs are at {near:.1f} dB to the module's, not {least:.1f} or more"
            )
