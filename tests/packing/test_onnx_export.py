"""ONNX files hold the codes, and onnxruntime computes the same outputs as the module."""

import json
import sys
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import nn

import swis
from swis.encoding.encode import Encoded
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.networks.activations import ActivationRange, observe_ranges, quantize_activations
from swis.networks.apply import encode_layers
from swis.networks.batch_norm import fold_batch_norm
from swis.networks.computed_weights import plain_copy
from swis.networks.inputs import Inputs
from swis.networks.layers import put_filters, weight_layers
from swis.packing import onnx_export
from swis.packing.onnx_export import export_onnx, stored_weight

needs_onnx = pytest.mark.skipif(find_spec("onnxruntime") is None, reason="needs the extra onnx")
SWIS = weight_format("swis", 3)


@dataclass(frozen=True)
class Low:
    module: nn.Module
    encoded: dict[str, Encoded]
    ranges: dict[str, ActivationRange]
    activation_bits: int | None
    example: Inputs


def lowered(model, fmt, example, bits=None) -> Low:
    """Return a quantized network; layers' inputs are rounded to the ranges of ``example``."""
    module = plain_copy(model).eval()
    layers = weight_layers(module)
    ranges = observe_ranges(module, layers, [example]) if bits else {}
    encoded = encode_layers(module, fmt)
    for name, layer in layers.items():
        put_filters(layer, encoded[name].weight())
    if bits:
        quantize_activations(layers, ranges, bits)
    return Low(module, encoded, ranges, bits, example)


class Mixed(nn.Module):
    """All kinds of layers: two share a weight, two share an input, and the embedding table stays float."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(4, 6, (2, 3), stride=2, groups=groups)
        self.mix = nn.Conv1d(6, 8, 3, padding=1)
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight
        self.gate = nn.Linear(8, 8)
        self.table = nn.Embedding(5, 8)

    def forward(self, x, index, shift, factor=1.0):
        x = self.mix(self.up(x).flatten(2)).transpose(1, 2)
        x = self.second(torch.tanh(self.first(x)) * factor) * self.gate(x) + self.table(index)[:, None]
        return {"all": self.first(x), "mean": x.mean(1) + shift}


def mixed(fmt, groups=1, bits=None) -> Low:
    torch.manual_seed(0)
    # their order differs from that of forward's parameters
    named = {"factor": 2.0, "shift": torch.randn(3, 1), "index": torch.arange(3)}
    return lowered(Mixed(groups), fmt, Inputs((torch.randn(3, 4, 5, 7),), named), bits)


def linear(**changes) -> Low:
    torch.manual_seed(0)
    low = lowered(nn.Sequential(nn.Linear(6, 4)), SWIS, Inputs((torch.randn(1, 6),)), bits=8)
    return replace(low, **changes)


class Model:
    """An ONNX file: its initializers, its nodes by the name of their output, and its outputs."""

    def __init__(self, path) -> None:
        import onnx

        self.proto = onnx.load(path)
        onnx.checker.check_model(self.proto, full_check=True)
        self.path, graph = path, self.proto.graph
        self.inputs = graph.input
        self.initializers = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
        self.nodes = {node.output[0]: node for node in graph.node}
        self.metadata = json.loads({each.key: each.value for each in self.proto.metadata_props}["swis"])

    def of_kind(self, kind):
        return [node for node in self.nodes.values() if node.op_type == kind]

    def scale_and_zero_point(self, node):
        return [self.initializers[name] for name in node.input[1:]]

    def run(self, arrays):
        import onnxruntime

        session = onnxruntime.InferenceSession(self.path, providers=["CPUExecutionProvider"])
        return session.run(None, arrays)


def assert_holds_codes(model: Model, low: Low, shifts: int, kind) -> None:
    """Check that codes x scale is the weight, and that no code has more powers of two than ``shifts``."""
    for name, layer in weight_layers(low.module).items():
        name = next(each for each in low.encoded if low.encoded[each] is low.encoded[name])
        codes, scale = model.initializers[f"{name}.weight"], model.initializers[f"{name}.weight_scale"]
        stored = stored_weight(layer, low.encoded[name])
        assert codes.dtype == kind
        assert (codes == stored.codes.numpy()).all()
        assert not model.initializers[f"{name}.weight_zero_point"].any()
        assert max(int(magnitude).bit_count() for magnitude in np.unique(np.abs(codes))) <= shifts
        if stored.block:
            scale = scale.repeat(stored.block, axis=0)
        elif scale.ndim:
            scale = scale.reshape([-1 if axis == stored.axis else 1 for axis in range(codes.ndim)])
        assert (codes * scale == layer.weight.detach().numpy()).all()


def grids(low: Low) -> set:
    return {
        (np.float32(scale), zero)
        for scale, zero in (r.affine(low.activation_bits) for r in low.ranges.values())
    }


@needs_onnx
def test_a_network_of_timm_computes_the_same(model, tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(onnx_export, "warn_once", warned.append)
    folded = fold_batch_norm(model, (1, 32, 32))
    # the example has one image, but the exported network takes batches of any size
    low = lowered(folded, SWIS, Inputs((torch.randn(1, 1, 32, 32),)), bits=8)
    export_onnx(low, tmp_path / "new" / "tiny.onnx")
    found = Model(tmp_path / "new" / "tiny.onnx")
    assert_holds_codes(found, low, 3, np.int8)
    assert not warned
    assert found.metadata == {
        "version": swis.__version__,
        "activation_bits": 8,
        "formats": [SWIS.settings() | {"layers": list(low.encoded)}],
    }
    rounding = found.of_kind("QuantizeLinear")
    assert len(rounding) == len(low.ranges)
    got = [found.scale_and_zero_point(node) for node in rounding]
    assert {(scale.item(), zero.item()) for scale, zero in got} == grids(low)
    assert all(zero.dtype == np.uint8 for _, zero in got)
    for node in (*found.of_kind("Conv"), *found.of_kind("Gemm")):
        assert [found.nodes[name].op_type for name in node.input[:2]] == ["DequantizeLinear"] * 2
    assert found.inputs[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    images = torch.randn(5, 1, 32, 32)
    with torch.inference_mode():
        expected = low.module(images)
    (logits,) = found.run({found.inputs[0].name: images.numpy()})
    assert logits.argmax(1).tolist() == expected.argmax(1).tolist()
    assert str(tmp_path) not in str(found.proto) and __file__ not in str(found.proto)


@needs_onnx
def test_layers_of_all_kinds_compute_the_same(tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(onnx_export, "warn_once", warned.append)
    low = mixed(SWIS)
    export_onnx(low, tmp_path / "mixed.onnx")
    found = Model(tmp_path / "mixed.onnx")
    assert_holds_codes(found, low, 3, np.int8)
    assert warned == ["these weights are float in the ONNX file: table.weight"]
    assert found.initializers["table.weight"].dtype == np.float32
    assert "second.weight" not in found.initializers
    assert not found.of_kind("QuantizeLinear")
    assert {each.type.tensor_type.shape.dim[0].dim_param for each in found.inputs} == {"batch"}


@needs_onnx
def test_groups_more_magnitude_bits_and_odd_activation_bits(tmp_path):
    low = mixed(weight_format("swis", 4, magnitude_bits=8), groups=2, bits=5)
    export_onnx(low, tmp_path / "mixed.onnx")
    found = Model(tmp_path / "mixed.onnx")
    assert_holds_codes(found, low, 4, np.int16)
    assert found.initializers["up.weight_scale"].shape == (2, 3, 2, 3)
    assert found.scale_and_zero_point(found.of_kind("QuantizeLinear")[0])[1].dtype == np.uint8
    # inputs outside a range are clipped to its 5 bits, as in the module
    far, named = 3 * low.example.args[0], low.example.kwargs
    with torch.inference_mode():
        expected = low.module(far, **named)["all"].numpy()
    got = found.run({"x": far.numpy(), **{name: named[name].numpy() for name in ("shift", "index")}})[0]
    assert abs(got - expected).max() < 0.05 * abs(expected).max()


@needs_onnx
def test_one_scale_and_16_bits(tmp_path, monkeypatch):
    torch.manual_seed(0)
    fmt = weight_format("swis", 3, granularity="tensor")
    low = lowered(nn.Sequential(nn.Linear(6, 4)), fmt, Inputs((torch.randn(9, 6),)), bits=16)
    monkeypatch.setattr(onnx_export, "_run", None)  # without a check, nothing is run
    export_onnx(low, tmp_path / "linear.onnx", opset=23, check=False)
    found = Model(tmp_path / "linear.onnx")
    assert_holds_codes(found, low, 3, np.int8)
    assert found.initializers["0.weight_scale"].shape == ()
    (node,) = found.of_kind("QuantizeLinear")
    assert found.scale_and_zero_point(node)[1].dtype == np.uint16
    assert found.proto.opset_import[0].version == 23
    with torch.inference_mode():
        expected = low.module(low.example.args[0]).numpy()
    assert abs(found.run({"input": low.example.args[0].numpy()})[0] - expected).max() < 1e-4


@needs_onnx
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda low: low.module[0].weight.data.add_(0.1), "outputs differ from the module's by"),
        (lambda low: low.ranges.update({"0": ActivationRange(-9, 9)}), "outputs have only .* dB SQNR"),
    ],
)
def test_a_file_with_wrong_outputs_is_not_written(tmp_path, change, message):
    low, path = linear(), tmp_path / "linear.onnx"
    path.write_text("an older file")
    change(low)
    with pytest.raises(InputError, match=message):
        export_onnx(low, path)
    assert [each.read_text() for each in tmp_path.iterdir()] == ["an older file"]


class Branching(nn.Linear):
    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x


@needs_onnx
@pytest.mark.parametrize(
    ("low", "options", "message"),
    [
        (linear(), {"opset": 17}, "opset=17 is too old; the export needs 21 or later"),
        (linear(), {"opset": 99}, "opset=99"),
        (linear(module=nn.Sequential(nn.Linear(6, 4)).double()), {}, "float32 networks"),
        (linear(module=Branching(6, 4), encoded={}, ranges={}), {}, "cannot be exported to ONNX"),
    ],
)
def test_a_failed_export_gives_one_line(tmp_path, low, options, message):
    with pytest.raises(InputError, match=message) as raised:
        export_onnx(low, tmp_path / "linear.onnx", **options)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("missing", ["onnxruntime", "onnxscript"])
def test_without_the_extra_the_error_names_what_to_install(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(InputError, match=r'pip install "swis\[onnx\]"'):
        export_onnx(linear(), tmp_path / "linear.onnx")
