"""Layer shapes from models and files."""

import pytest
import timm
import torch
from torch import nn

from swis.errors import InputError
from swis.hardware.layer_shapes import Layer, read_workload, workload, write_workload
from swis.networks.macs import layer_macs

HEADER = "name,in_channels,out_channels,kernel_h,kernel_w,in_h,in_w,out_h,out_w"


@pytest.mark.parametrize("name", ["mobilenetv2_100", "resnet18", "tf_efficientnet_lite0", "vgg16"])
def test_macs_equal_those_of_the_flop_counter(name):
    with torch.device("meta"):
        model = timm.create_model(name).eval()
    layers = workload(model, (3, 224, 224))
    counted = layer_macs(model, (3, 224, 224))
    assert {layer.name: layer.macs for layer in layers} == counted
    sizes = {key: value.numel() for key, value in model.named_parameters()}
    assert all(layer.weights == sizes[f"{layer.name}.weight"] for layer in layers)


def test_a_network_s_layers_are_in_the_order_of_their_calls():
    class Backwards(nn.Module):
        def __init__(self):
            super().__init__()
            self.last, self.first = nn.Linear(4, 2), nn.Conv2d(1, 4, (1, 3), padding=(0, 1), groups=1)

        def forward(self, x):
            x = self.first(x).flatten(2).transpose(1, 2)  # tokens with 4 channels
            return self.last(self.last.weight.new_ones(()) * x)

    first, last = workload(Backwards(), (1, 5, 6))
    assert first == Layer("first", 1, 4, 1, 3, 5, 6, 5, 6, pad_left=1, pad_right=1)
    assert last == Layer("last", 4, 2, 1, 1, 1, 30, 1, 30)
    assert (last.macs, last.inputs, last.outputs) == (240, 120, 60)


def test_layers_are_written_to_a_file_and_read(tmp_path):
    layers = workload(timm.create_model("mobilenetv2_035", in_chans=1).eval(), (1, 32, 32))
    layers.append(Layer("odd", 4, 4, 3, 3, 8, 8, 4, 2, 2, 1, 1, 2, 3, maps=5))
    layers.append(Layer("same", 4, 4, 3, 3, 8, 8, 4, 4, 2, 2, 2, pad_bottom=1, pad_right=1))
    write_workload(layers, tmp_path / "net.csv")
    assert read_workload(tmp_path / "net.csv") == layers
    assert any(layer.depthwise for layer in layers)


def test_tokens_of_windows_are_counted():
    class Windows(nn.Sequential):
        def forward(self, x):
            return super().forward(x.reshape(16, 4, 8))  # 16 windows of 4 tokens

    [layer] = workload(Windows(nn.Linear(8, 4)), (8, 8, 8))
    assert layer.macs == 64 * 8 * 4


def test_every_map_of_an_image_is_counted():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = nn.Conv2d(4, 4, 3, stride=2, padding=1, groups=4)

        def forward(self, x):
            return self.pool(x.reshape(3, 4, *x.shape[2:]))  # 3 heads of 4 channels

    [layer] = workload(Heads(), (12, 8, 6))
    pads = (1, 1, 1, 1)
    assert layer == Layer("pool", 4, 4, 3, 3, 8, 6, 4, 3, 4, 2, 2, 1, 1, 3, *pads)
    assert (layer.macs, layer.inputs, layer.outputs) == (3 * 4 * 9 * 12, 12 * 48, 12 * 12)
    assert layer.weights == 36
    assert layer_macs(Heads(), (12, 8, 6)) == {"pool": layer.macs}


def test_a_dilated_convolution_spans_more_rows():
    [layer] = workload(nn.Sequential(nn.Conv2d(1, 1, 3, dilation=(2, 1))), (1, 8, 8))
    assert layer == Layer("0", 1, 1, 3, 3, 8, 8, 4, 6, dilation_h=2)
    assert (layer.span_h, layer.span_w, layer.macs) == (5, 3, 24 * 9)


def test_macs_of_a_network_that_passes_a_parameter_to_a_module():
    class Token(nn.Module):
        def __init__(self):
            super().__init__()
            self.token, self.mix = nn.Parameter(torch.ones(1, 4)), Mix()

        def forward(self, x):
            return self.mix(self.token, x.flatten(1))

    class Mix(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(4, 2)

        def forward(self, token, x):
            return self.fc(token + x)

    model = Token()
    assert layer_macs(model, (1, 2, 2)) == {"mix.fc": 8}
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_names_are_not_changed_by_a_file(tmp_path):
    layers = [Layer(name, 1, 1, 1, 1, 1, 1, 1, 1) for name in ("0.1", "0.10", "NA")]
    write_workload(layers, tmp_path / "net.csv")
    assert read_workload(tmp_path / "net.csv") == layers


def test_optional_columns_may_be_missing(tmp_path):
    (tmp_path / "net.csv").write_text(f"{HEADER}\nfc,16,10,1,1,1,1,1,1\n")
    assert read_workload(tmp_path / "net.csv") == [Layer("fc", 16, 10, 1, 1, 1, 1, 1, 1)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        (HEADER, "has no layers"),
        ("name,in_channels\na,1", "has no column out_channels, kernel_h"),
        (f"{HEADER},colour\na,1,1,1,1,1,1,1,1,red", "has an unknown column colour"),
        (f"{HEADER}\na,1,1,1,1,1,1,1,1.5", "column out_w must hold whole numbers"),
        (f"{HEADER}\na,1,1,1,1,1,1,1,0", "layer a: out_w must be at least 1, not 0"),
        (f"{HEADER}\na,1,1,1,1,1,1,1,1,2", "more fields than its header"),
        (f"{HEADER},groups\na,4,6,1,1,1,1,1,1,4", "layer a: out_channels=6 does not divide into 4 groups"),
        (f"{HEADER}\na,1,1,1,1,1,1,1,1\n\nb,1,1,3,3,8,8,8,6", "line 4: layer b: out_h is at most 6, not 8"),
        (
            f"{HEADER},pad_left\na,1,1,3,3,8,8,6,8,1",
            "line 2: layer a: out_w is at most 7, not 8: in_w=8, pad",
        ),
        (f"{HEADER},dilation_h\na,1,1,3,3,8,8,6,6,4", "line 2: layer a: out_h is at most 0, not 6"),
        (f"{HEADER},pad_top\na,1,1,1,1,1,1,1,1,-1", "line 2: layer a: pad_top must be at least 0, not -1"),
    ],
)
def test_a_wrong_workload_file_is_refused(tmp_path, text, message):
    (tmp_path / "net.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_workload(tmp_path / "net.csv")


def test_line_numbers_are_right_after_a_name_of_two_lines(tmp_path):
    (tmp_path / "net.csv").write_text(f'{HEADER}\n"a\nb",1,1,1,1,1,1,1,1\nc,1,1,3,3,8,8,8,6\n')
    with pytest.raises(InputError, match="line 4: layer c: out_h is at most 6"):
        read_workload(tmp_path / "net.csv")


@pytest.mark.parametrize(("kernel", "padding"), [(1, 1), (2, 2)])
def test_a_transposed_convolution_that_cuts_its_input_is_refused(kernel, padding):
    layer = nn.ConvTranspose2d(2, 2, kernel, stride=2, padding=padding)
    with pytest.raises(InputError, match="transposed convolution 0 cannot be simulated: its padding"):
        workload(nn.Sequential(layer), (2, 6, 6))


def test_a_layer_with_fewer_outputs_than_possible_gives_a_warning(tmp_path, caplog):
    (tmp_path / "net.csv").write_text(f"{HEADER}\nstem,3,8,3,3,9,9,4,7\n")
    [layer] = read_workload(tmp_path / "net.csv")
    assert layer.out_h == 4
    assert "line 2: layer stem has out_h=4, but its inputs give 7 outputs" in caplog.text


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"none\.csv cannot be read"):
        read_workload(tmp_path / "none.csv")


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("mobilenet_v2", "mobilenetv2_100"),
        ("resnet18", "resnet18"),
        ("vgg16", "vgg16_bn"),
        ("efficientnet_lite0", "tf_efficientnet_lite0"),
    ],
)
def test_shapes_in_conf_equal_those_of_the_networks(file, name):
    with torch.device("meta"):
        model = timm.create_model(name)
    assert read_workload(file) == workload(model, (3, 224, 224))


def test_an_unknown_workload_name_is_refused():
    with pytest.raises(InputError, match=r"neither a file NAME.csv nor one of efficientnet_lite0, mobile"):
        read_workload("lenet")
