"""Export of a quantized network to ONNX: weights are integers with scales, and layers' inputs are rounded.

The file has the QDQ form (quantize and dequantize operators). An encoded weight is an initializer
``LAYER.weight`` of integers (int8, or int16 for 8 magnitude bits), with scales ``LAYER.weight_scale`` and
zero points of 0, followed by a ``DequantizeLinear``. Layers that share a weight use the name of the first
one. The integers are the codes of the format. ONNX has no type for sums of few powers of two, so each code
takes 8 or 16 bits. With quantized activations, a ``QuantizeLinear`` and a ``DequantizeLinear`` are before
every layer, in uint8 for up to 8 bits and in uint16 for more. The metadata of the model have one entry,
``swis``, a JSON object: ``version``, ``activation_bits``, and ``formats``, the settings of each weight format
with its ``layers``.
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

_OPSET = 21  # the first opset with 16-bit integers and blockwise scales
_WHOLE = (8, 16)  # bits for which an integer type has exactly the needed levels
_LARGEST = 2**31 - 2**20  # an ONNX file has at most 2 GiB; some of it is needed besides tensors

# The largest allowed difference of outputs without rounded activations, relative to the largest output.
_TOLERANCE = 1e-4
# Outputs with rounded activations differ more: a value on the border of two levels may be rounded to either,
# and later layers depend on it. At worst they differ like two independent roundings, by 3 dB more than
# outputs without rounding; 1 dB is a margin for chance.
_FARTHER, _NEAR = 4.0, 60.0


class LowBit(Protocol):
    """A quantized network with its integer codes, such as ``swis.Quantized``.

    ``module`` has the decoded weights; with ``activation_bits`` its hooks round the layers' inputs over their
    ``ranges``. The keys of ``encoded`` and ``ranges`` are the layers' names.
    """

    module: nn.Module
    encoded: Mapping[str, Encoded]
    ranges: Mapping[str, ActivationRange]
    activation_bits: int | None
    example: Inputs


class StoredWeight(NamedTuple):
    """A weight as a layer stores it: integer codes, and scales along ``axis``, or a single scale.

    If ``block`` is not 0, the scales have the shape of the weight, except along ``axis``, where each scale
    belongs to ``block`` weights.
    """

    codes: Tensor
    scale: Tensor
    axis: int = 0
    block: int = 0


def stored_weight(layer: nn.Module, encoded: Encoded) -> StoredWeight:
    """Return the codes and scales of a layer's weight in the layout of ``layer.weight``.

    In a transposed convolution with groups, every group has its own block of scales.

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
    """Write a quantized float32 network to an ONNX file in QDQ form, for batches of any size.

    With ``check``, onnxruntime runs the file on ``low.example`` without optimizations, before the file is
    kept. Without rounded activations, its outputs must equal those of ``low.module`` up to 1e-4 of the
    largest output. With rounded activations, their SQNR against those of ``low.module`` must be 60 dB, or at
    most 4 dB below that of ``low.module`` against the network without rounding.

    Raises ``InputError``, and writes no file, if the outputs differ more, if the network cannot be traced, or
    if the packages of the extra ``onnx`` are missing; raises ``CannotWrite``.
    """
    if not hasattr(low, "encoded"):  # a float network, say; isinstance would compute every property
        raise InputError(f"export_onnx takes a network from swis.quantize, not {type(low).__name__}")
    ir, runtime = _packages()
    if opset < _OPSET:
        raise InputError(f"opset={opset} is too old; the export needs {_OPSET} or later, for 16-bit integers")
    module = plain_copy(low.module).cpu().eval()
    kinds = {value.dtype for value in module.state_dict().values() if value.is_floating_point()}
    if kinds != {torch.float32}:
        raise InputError("only float32 networks can be exported; call module.float() first")
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
    ir.passes.common.ClearMetadataAndDocStringPass()(model)  # they would have paths of the user's files
    model.metadata_props["swis"] = json.dumps(_about(low), sort_keys=True)
    size = sum(value.const_value.nbytes for value in model.graph.initializers.values())
    if size > _LARGEST:
        raise InputError(f"{size / 2**30:.1f} GiB of tensors are too much for an ONNX file")

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
    """Return the module ``onnxscript.ir`` and onnxruntime; raise ``InputError`` if one is missing."""
    try:
        import onnxruntime
        from onnxscript import ir
    except ImportError as error:
        raise InputError(f'the export needs {error.name}: pip install "swis[onnx]"') from error
    return ir, onnxruntime


def _round_inputs(layer: nn.Module, interval: ActivationRange, bits: int) -> None:
    """Add a hook that rounds a layer's input in the traced network, like ``quantize_activations``."""
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
        if bits not in _WHOLE:  # the integer type has more levels than needed
            values = values.clamp(max=largest)
        return (values, *inputs[1:])

    layer.register_forward_pre_hook(rounded)


def _traced(module: nn.Module, example: Inputs, opset: int) -> torch.onnx.ONNXProgram:
    """Trace a network with a dynamic first axis."""
    count, shapes = len(example), torch.export.ShapesCollection()

    def prepared(value: Tensor) -> Tensor:
        if value.ndim == 0 or len(value) != count:
            return value
        value = torch.cat([value, value])  # the tracer takes a length of 1 for a constant
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
        raise InputError(f"the network cannot be exported to ONNX with opset={opset}")
    return program


def _optimize_and_encode(
    ir: ModuleType, program: torch.onnx.ONNXProgram, module: nn.Module, encoded: Mapping[str, Encoded]
) -> None:
    """Optimize a program and replace its encoded weights by integers and scales, in place."""
    layers, graph = weight_layers(module), program.model.graph
    # layers that share a weight use the name of the first one
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
    graph.inputs.extend(weights.values())  # as inputs, so that the optimizer does not transpose them
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
    """Return the entry of the metadata."""
    layers: dict[Any, list[str]] = {}
    for name, encoded in low.encoded.items():
        layers.setdefault(encoded.fmt, []).append(name)
    formats = [fmt.settings() | {"layers": names} for fmt, names in layers.items()]
    return {"version": metadata.version("swis"), "activation_bits": low.activation_bits, "formats": formats}


def _outputs(module: nn.Module, example: Inputs) -> list[Tensor]:
    """Return the output tensors of a network on the CPU."""
    with torch.inference_mode():
        return outputs_of(example.to("cpu").run(module))


def _run(runtime: ModuleType, model: str | bytes, example: Inputs) -> list[Tensor]:
    """Return the outputs of an ONNX file, or of its bytes, without optimizations."""
    options = runtime.SessionOptions()
    options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    arrays = [value.numpy(force=True) for value in example.tensors]
    try:
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]
        found = session.run(None, dict(zip(names, arrays, strict=True)))
    except Exception as error:  # onnxruntime's exceptions have no other common class
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"onnxruntime cannot run the exported network: {reason}") from error
    return list(map(torch.from_numpy, found))


def _without_rounding(ir: ModuleType, model: Any, bits: int) -> bytes:
    """Return the bytes of a copy of a model that does not round the inputs of layers."""
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
    """Raise ``InputError`` if outputs differ from those of the module."""
    for one, other in zip(got, expected, strict=True):
        error, largest = float((one.double() - other).abs().max()), float(other.double().abs().max())
        if not error <= _TOLERANCE * largest:
            raise InputError(
                f"onnxruntime's outputs differ from the module's by {error:.1e}; the largest is {largest:.1e}"
            )


def _compare_rounded(got: list[Tensor], expected: list[Tensor], exact: list[Tensor]) -> None:
    """Raise ``InputError`` if outputs differ too much from those of the module with rounded activations."""
    for one, other, plain in zip(got, expected, exact, strict=True):
        near, least = sqnr_db(other, one), min(_NEAR, sqnr_db(other, plain) - _FARTHER)
        if not near >= least:
            raise InputError(
                f"onnxruntime's outputs have only {near:.1f} dB SQNR against the module's, not {least:.1f} dB"
            )
