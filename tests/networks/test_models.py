"""Networks and weights: every source of weights, and every fault of a checkpoint."""

import json

import huggingface_hub
import pytest
import torch
from conftest import TINY, TINY_INPUTS
from PIL import Image
from safetensors.torch import load_file, save_file

from swis.data.image_sets import loader, open_split
from swis.errors import InputError
from swis.evaluation.predict import predict, score
from swis.experiments.config import load
from swis.networks.models import load_network, new_network, save_checkpoint
from swis.options.model import ModelConfig


def tiny_config(weights, **changes) -> ModelConfig:
    return ModelConfig(label="tiny", name=TINY, weights=str(weights), **changes)


def test_a_saved_network_is_loaded_unchanged(tmp_path):
    network = new_network(ModelConfig(label="tiny", name=TINY), 10, TINY_INPUTS, seed=3)
    path = tmp_path / "w.safetensors"
    save_checkpoint(network, path, {"data": "fashion_mnist", "top1": "12.5"})
    loaded = load_network(tiny_config(path))
    assert loaded.inputs == TINY_INPUTS
    assert loaded.kwargs == {"in_chans": 1, "num_classes": 10}
    assert loaded.metadata["top1"] == "12.5"
    assert loaded.num_classes == 10
    for key, value in network.module.state_dict().items():
        expected = value.half().float() if value.ndim > 1 else value
        assert torch.equal(loaded.module.state_dict()[key], expected), key


def test_initial_weights_depend_on_the_seed_and_not_on_the_global_generator():
    config = ModelConfig(label="tiny", name=TINY)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (new_network(config, 10, TINY_INPUTS, seed).digest for seed in (0, 0, 1))
    assert torch.rand(1) == expected
    assert first == again != other


def test_the_digest_depends_on_the_content_and_not_on_the_path(tiny_checkpoint, tmp_path):
    copy = tmp_path / "renamed.safetensors"
    copy.write_bytes(tiny_checkpoint.read_bytes())
    assert load_network(tiny_config(copy)).digest == load_network(tiny_config(tiny_checkpoint)).digest


def test_a_pickled_state_dict_gives_the_same_network(tiny_checkpoint, tmp_path):
    state = {key: value.float() for key, value in load_file(tiny_checkpoint).items()}
    overrides = {"kwargs": {"in_chans": 1, "num_classes": 10}, **TINY_INPUTS}
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "nested.pth")
    # as trained on several devices with an old torch, which did not count batches
    uncounted = {f"module.{key}": value for key, value in state.items() if "num_batches" not in key}
    torch.save({"state_dict": uncounted}, tmp_path / "parallel.th")
    plain, nested, parallel = (
        load_network(tiny_config(tmp_path / name, **overrides))
        for name in ("plain.pth", "nested.pth", "parallel.th")
    )
    assert len(uncounted) < len(state)
    assert plain.digest == nested.digest == parallel.digest
    assert plain.inputs == TINY_INPUTS


def test_the_transform_prepares_images_for_the_network(tiny_checkpoint):
    network = load_network(tiny_config(tiny_checkpoint))
    image = network.transform()(Image.new("L", (28, 28), 73))
    assert image.shape == (1, 32, 32)
    torch.testing.assert_close(image, torch.full((1, 32, 32), (73 / 255 - 0.2860) / 0.3530))
    assert network.module(image[None]).shape == (1, 10)


def test_overrides_take_precedence_over_the_checkpoint(tiny_checkpoint):
    network = load_network(tiny_config(tiny_checkpoint, mean=[0.5], input_size=[1, 40, 40]))
    assert network.inputs["mean"] == [0.5]
    assert network.transform()(Image.new("L", (28, 28))).shape == (1, 40, 40)


@pytest.mark.parametrize("model", ["mobilenet_v2", "resnet18"])
def test_the_embedded_checkpoints_have_the_metadata_of_their_training(model):
    network = load_network(load([f"model={model}"]).model)
    assert network.channels == 1
    assert network.num_classes == 10
    assert float(network.metadata["top1"]) >= 93.5
    assert network.metadata["command"].startswith(f"python run.py task=train model={model}")
    assert network.metadata["data"] == "fashion_mnist"
    assert {"seed", "recipe", "git_commit", "packages", "machine"} <= set(network.metadata)
    # the momentum that the cycle really used; the recipes had one number, which the cycle replaced
    assert json.loads(network.metadata["recipe"])["momentum"] == [0.85, 0.95]


def test_efficientnet_lite0_has_its_imagenet_weights():
    network = load_network(load(["model=efficientnet_lite0"]).model)
    assert network.num_classes == 1000
    assert network.inputs["input_size"] == [3, 224, 224]
    assert network.inputs["mean"] == [0.5, 0.5, 0.5]


def broken(tmp_path, tiny_checkpoint, change):
    state = load_file(tiny_checkpoint)
    change(state)
    path = tmp_path / "broken.safetensors"
    save_file(state, path)
    return tiny_config(path, kwargs={"in_chans": 1, "num_classes": 10}, **TINY_INPUTS)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("conv_head.weight"), "conv_head.weight is missing"),
        (lambda state: state.update(extra=torch.ones(1)), "extra is not in the model"),
        (
            lambda state: state.update({"classifier.weight": torch.ones(7, 256)}),
            r"classifier.weight is \[7, 256\] instead of \[10, 256\]",
        ),
        (lambda state: state["classifier.bias"].fill_(torch.nan), "not finite, in classifier.bias"),
        (lambda state: state["conv_stem.weight"].fill_(torch.inf), "not finite, in conv_stem.weight"),
        (lambda state: [state.pop(key) for key in list(state)[-9:]], "and 6 more"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_described(tmp_path, tiny_checkpoint, change, message):
    with pytest.raises(InputError, match=message):
        load_network(broken(tmp_path, tiny_checkpoint, change))


def test_unreadable_files_are_named(tmp_path):
    for name, content in (("a.safetensors", b"nonsense"), ("b.pth", b"nonsense")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=rf"{name} is not a readable"):
            load_network(tiny_config(tmp_path / name))
    torch.save([1, 2], tmp_path / "c.pth")
    with pytest.raises(InputError, match="does not hold a state dict"):
        load_network(tiny_config(tmp_path / "c.pth"))
    (tmp_path / "d.onnx").write_bytes(b"")
    with pytest.raises(InputError, match=r"a \.safetensors, \.pth, \.pt or \.th file"):
        load_network(tiny_config(tmp_path / "d.onnx"))


def test_a_pickle_with_code_is_refused(tmp_path):
    import os

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "owned"),)

    torch.save({"w": Harmful()}, tmp_path / "bad.pth")
    with pytest.raises(InputError, match="not a readable checkpoint"):
        load_network(tiny_config(tmp_path / "bad.pth"))
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "mobilenetv9"}, "timm has no model named 'mobilenetv9'"),
        ({"weights": "embedded"}, "there are no embedded weights for test_efficientnet, only for"),
        ({"weights": "nowhere.pth"}, "neither embedded, timm nor a file"),
        ({"name": "resnet18.nonsense", "weights": "timm"}, "timm has no weights 'resnet18.nonsense'"),
        ({"name": "resnet18.nonsense", "weights": "x.pth"}, "timm has no weights 'resnet18.nonsense'"),
        ({"name": "lcnet_035", "weights": "timm"}, "timm has no weights for lcnet_035"),
        (
            {"name": "resnet18.tv_in1k", "weights": "timm", "kwargs": {"num_classes": 10}},
            "num_classes would replace trained weights",
        ),
    ],
)
def test_wrong_names_are_explained(changes, message):
    with pytest.raises(InputError, match=message):
        load_network(ModelConfig(**{"label": "x", "name": TINY, **changes}))


def test_wrong_arguments_for_the_architecture(tiny_checkpoint):
    with pytest.raises(InputError, match=r"model\.kwargs"):
        load_network(tiny_config(tiny_checkpoint, kwargs={"wings": 2}))


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"in_chans": 2}, "in_chans=2 differs from .*, 1; also set model.input_size=\\[2,"),
        ({"features_only": True}, "has no classes .* leave out features_only"),
        ({"num_classes": 0}, "has no classes"),
    ],
)
def test_arguments_that_change_the_inputs_or_the_classes_are_refused(tmp_path, kwargs, message):
    state = new_network(ModelConfig(label="tiny", name=TINY), 10, TINY_INPUTS, seed=0).module.state_dict()
    if kwargs == {"in_chans": 2}:
        state["conv_stem.weight"] = state["conv_stem.weight"].repeat(1, 2, 1, 1)
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        load_network(
            tiny_config(tmp_path / "w.pth", kwargs={"num_classes": 10, "in_chans": 1} | kwargs, **TINY_INPUTS)
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight.to_sparse(), "conv_stem.weight is sparse"),
        (lambda weight: weight.to("meta"), "conv_stem.weight is without values"),
        (lambda weight: weight.to(torch.complex64), "conv_stem.weight is complex"),
        (lambda weight: torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8), "conv_stem.weight is quant"),
        (lambda weight: weight.to(torch.int8), r"conv_stem.weight has integers \(torch.int8\)"),
    ],
    ids=["sparse", "meta", "complex", "quantized", "int8"],
)
def test_tensors_that_are_not_dense_float_weights_are_named(tmp_path, change, message):
    state = new_network(ModelConfig(label="tiny", name=TINY), 10, TINY_INPUTS, seed=0).module.state_dict()
    torch.save(state | {"conv_stem.weight": change(state["conv_stem.weight"])}, tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        load_network(
            tiny_config(tmp_path / "w.pth", kwargs={"num_classes": 10, "in_chans": 1}, **TINY_INPUTS)
        )


def test_mean_must_have_a_value_per_channel(tiny_checkpoint):
    with pytest.raises(InputError, match=r"mean has 3 values for 1 input channels; give"):
        load_network(tiny_config(tiny_checkpoint, mean=[0.5, 0.5, 0.5]))


def test_the_tag_decides_the_preprocessing_of_images(tmp_path):
    network = new_network(ModelConfig(label="x", name="resnet18.a1_in1k"), 10, TINY_INPUTS, seed=0)
    torch.save(network.module.state_dict(), tmp_path / "w.pth")
    kwargs = {"in_chans": 1, "num_classes": 10}
    grey = {"input_size": [1, 224, 224], "mean": [0.5], "std": [0.5]}
    crops = {}
    for name in ("resnet18.tv_in1k", "resnet18.a1_in1k"):
        config = ModelConfig(label="x", name=name, weights=str(tmp_path / "w.pth"), kwargs=kwargs, **grey)
        crops[name] = load_network(config).inputs["crop_pct"]
    assert crops == {"resnet18.tv_in1k": 0.875, "resnet18.a1_in1k": 0.95}


def test_without_a_connection_the_error_names_the_offline_weights(monkeypatch):
    told = []

    class NoNetwork:
        def head(self, *_, **__):
            raise ConnectionError("no route")

    def refuse(*_, **__):
        told.append(huggingface_hub.constants.HF_HUB_OFFLINE)
        raise ConnectionError("no route")

    before = huggingface_hub.constants.HF_HUB_OFFLINE
    monkeypatch.setattr("huggingface_hub.get_session", NoNetwork)
    monkeypatch.setattr("timm.create_model", refuse)
    with pytest.raises(
        InputError, match=r"could not be downloaded.*model.weights=embedded \(mobilenetv2_100"
    ):
        load_network(load(["model=vgg16"]).model)
    assert told == [True]  # the offline mode, in which the hub's client does not retry for a minute
    assert before == huggingface_hub.constants.HF_HUB_OFFLINE


def test_the_published_resnet20_recognises_cifar_images(shared, cifar10_jpeg):
    weights = f"model.weights={shared / 'weights' / 'resnet20_cifar10.safetensors'}"
    config = load(["experiment=resnet20_cifar10", weights, f"data.root={cifar10_jpeg}"])
    network = load_network(config.model)
    images = open_split(config.data, "test").prepared(network.transform(), network.channels)
    assert len(images) == 500
    prediction = predict(network.module, loader(images, 250, 0), torch.device("cpu"), "float")
    # 91.7 % on the original images; the JPEG copies cost ten points
    assert 78 < score(prediction, prediction.logits)["top1"] < 92
