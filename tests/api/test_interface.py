"""The Python interface on networks of timm and torchvision, and on the user's own networks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import swis
from swis.errors import InputError
from swis.options.training import RetrainConfig
from swis.runtime import notices


class TwoHeads(nn.Module):
    """Takes a second input by keyword and returns a tuple; the embedding of the second input stays float."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.kinds = nn.Embedding(5, 8)
        self.one, self.other = nn.Linear(8, 4), nn.Linear(8, 2)

    def forward(self, image: Tensor, *, kind: Tensor) -> tuple[Tensor, Tensor]:
        features = self.norm(self.conv(image)).relu().mean((2, 3)) + self.kinds(kind)
        return self.one(features), self.other(features)


class Tokens(nn.Module):
    """A small language model that takes token numbers and returns a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 16)
        self.mixing = nn.Linear(16, 16)
        self.head = nn.Linear(16, 11)

    def forward(self, ids: Tensor) -> dict[str, Tensor]:
        hidden = self.mixing(self.embedding(ids)).relu()
        return {"hidden": hidden, "logits": self.head(hidden.mean(1))}


def images_of(*size: int) -> Tensor:
    return torch.rand(16, *size, generator=torch.Generator().manual_seed(0))


def small_timm() -> tuple[nn.Module, Tensor]:
    return timm.create_model("test_efficientnet", num_classes=10, in_chans=1), images_of(1, 32, 32)


def small_torchvision() -> tuple[nn.Module, Tensor]:
    return torchvision.models.shufflenet_v2_x0_5(num_classes=4), images_of(3, 64, 64)


def own() -> tuple[nn.Module, dict[str, Tensor]]:
    return TwoHeads(), {"image": images_of(3, 8, 8), "kind": torch.arange(16) % 5}


def tokens() -> tuple[nn.Module, Tensor]:
    return Tokens(), torch.arange(16 * 6).reshape(16, 6) % 11


@pytest.fixture(params=[small_timm, small_torchvision, own, tokens], ids=lambda make: make.__name__)
def case(request) -> tuple[nn.Module, Tensor | dict[str, Tensor]]:
    torch.manual_seed(0)
    network, inputs = request.param()
    for module in network.modules():  # statistics like those of a trained network, so that folding matters
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval(), inputs


def call(network: nn.Module, inputs: Tensor | dict[str, Tensor]) -> Tensor:
    """Return the logits."""
    with torch.no_grad():
        found = network(**inputs) if isinstance(inputs, dict) else network(inputs)
    return found if isinstance(found, Tensor) else found[0] if isinstance(found, tuple) else found["logits"]


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def test_any_network_goes_through_all_functions(case, tmp_path):
    network, inputs = case
    before, modes = state(network), [module.training for module in network.modules()]
    low = swis.quantize(network, swis.Swis(shifts=3, group_size=4), calibration=inputs, activation_bits=8)
    logits, wanted = call(low, inputs), call(network, inputs)
    assert logits.shape == wanted.shape
    assert 10 * torch.log10(wanted.square().sum() / (wanted - logits).square().sum()) > 15

    table = low.layers
    layers = [name for name, each in network.named_modules() if isinstance(each, nn.Conv2d | nn.Linear)]
    assert list(table.index[table["format"] == "swis"]) == layers
    assert (table.loc[layers, "shifts"] == 3).all()
    assert (table.loc[layers, "cycles"] == 3 * table.loc[layers, "macs"]).all()
    assert table.loc[layers, "sqnr_db"].median() > 10

    result = swis.evaluate(low, [inputs], reference=network)
    assert result.agreement >= 75
    assert result.logit_sqnr_db > 15
    assert result.weight_bits == pytest.approx(
        (table["bits"] * table["weights"]).sum() / table["weights"].sum()
    )

    sensitive = swis.sensitivity(network, swis.Swis(shifts=1), inputs)
    assert set(sensitive.index) == set(layers)
    assert sensitive["kl_divergence"].is_monotonic_decreasing
    assert sensitive["kl_divergence"].iloc[0] > 0

    simulated = swis.simulate(low, "swis_ss", versus=["stripes"]).set_index(["accelerator", "layer"])
    assert list(simulated.loc["swis_ss"].index) == [*layers, "total"]
    assert simulated.loc[("swis_ss", "total"), "macs"] == table.loc[layers, "macs"].sum()
    assert simulated.loc[("swis_ss", "total"), "energy_pj"] < simulated.loc[("stripes", "total"), "energy_pj"]

    swis.save(low, tmp_path / "low.safetensors")
    again = swis.load(tmp_path / "low.safetensors", None if hasattr(network, "pretrained_cfg") else network)
    assert torch.equal(call(again, inputs), logits)
    assert again.layers.drop(columns="sqnr_db").equals(table.drop(columns="sqnr_db"))
    assert again.layers["sqnr_db"].isna().all()

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_schedule_gives_layers_different_shifts(case):
    network, inputs = case
    schedule = swis.schedule(network, swis.Swis(shifts=2.5), inputs, policy="network")
    low = swis.quantize(network, swis.Swis(shifts=2.5), inputs, schedule=schedule)
    named = swis.quantize(network, swis.Swis(shifts=2.5), inputs, schedule="network")
    assert torch.equal(call(low, inputs), call(named, inputs))
    assert low.layers["shifts"].nunique() > 1
    assert 2 < low.cost["cycles_per_weight"] <= 2.5
    assert "schedule=network" in repr(low)


def batches(inputs: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    for part in inputs.split(5):
        yield part, torch.zeros(len(part))


def test_calibration_takes_tensors_loaders_and_batches():
    network, images = small_timm()
    loader = DataLoader(TensorDataset(images, torch.zeros(len(images))), batch_size=5)
    wanted = call(swis.quantize(network.eval(), swis.Swis(), images, activation_bits=8), images)
    labels = torch.zeros(len(images))
    for given in (loader, list(images.split(5)), batches(images), (images,), (images, labels)):
        low = swis.quantize(network, swis.Swis(), given, activation_bits=8)
        assert torch.equal(call(low, images), wanted)
    with pytest.raises(InputError, match="calibration must be a tensor or an iterable of batches, not int"):
        swis.quantize(network, swis.Swis(), 3)
    with pytest.raises(InputError, match="calibration has no batches"):
        swis.quantize(network, swis.Swis(), [])


def test_a_better_calibration_method_gives_a_higher_sqnr():
    torch.manual_seed(0)
    network, images = small_timm()
    found = {
        how: swis.evaluate(
            swis.quantize(network.eval(), swis.Swis(shifts=2), images, calibrate=how),
            [images],
            reference=network,
        ).logit_sqnr_db
        for how in ("none", "stats", "output_aware")
    }
    assert found["none"] < found["stats"] < found["output_aware"]


def test_retraining_starts_from_the_calibrated_network(tmp_path):
    torch.manual_seed(0)
    network, images = small_timm()
    labels = torch.arange(16) % 10
    low = swis.quantize(network.eval(), swis.Swis(shifts=2), images, activation_bits=8)
    settings = RetrainConfig(epochs=2, batch_size=8, learning_rate=1e-3)
    before = state(low)
    trained = swis.retrain(low, (images, labels), settings=settings, folder=tmp_path)
    assert "retrained" in repr(trained)
    assert not torch.equal(call(trained, images), call(low, images))
    assert all(torch.equal(value, before[name]) for name, value in low.state_dict().items())
    assert (trained.layers["bits"] == low.layers["bits"]).all()
    loader = DataLoader(TensorDataset(images, labels), batch_size=3)
    again = swis.retrain(low, loader, settings=settings, folder=tmp_path)
    assert torch.equal(call(again, images), call(trained, images))
    with pytest.raises(InputError, match="16 images do not fill a batch of batch_size=64"):
        swis.retrain(low, (images, labels), settings=RetrainConfig(batch_size=64))


@dataclass(frozen=True)
class Fibonacci(swis.WeightFormat):
    """A user's quantizer: magnitudes are zero and the largest Fibonacci numbers below 128, 2 ** N in all."""

    name: ClassVar[str] = "fibonacci"

    def level_sets(self) -> tuple[tuple[int, ...], ...]:
        numbers = [1, 2]
        while numbers[-1] + numbers[-2] < 2**self.magnitude_bits:
            numbers.append(numbers[-1] + numbers[-2])
        return ((0, *numbers[1 - 2**self.shifts :]),)


@pytest.mark.parametrize("calibrate", ["none", "stats", "output_aware"])
def test_a_user_s_quantizer_goes_through_all_functions(calibrate):
    torch.manual_seed(0)
    network, images = small_timm()
    how = {"calibrate": calibrate, "activation_bits": 8, "skip": ["classifier"]}
    low = swis.quantize(network.eval(), Fibonacci(shifts=3), images, **how)
    assert set(low.layers["format"]) == {"fibonacci", "int8"}
    levels = {0, 5, 8, 13, 21, 34, 55, 89}
    for name, encoded in low.encoded.items():
        if name != "classifier":
            assert set(encoded.codes.abs().unique().tolist()) <= levels
    assert swis.evaluate(low, [images], reference=network).logit_sqnr_db > 3
    assert swis.simulate(low, "truncation")["energy_pj"].iloc[-1] > 0


def test_weights_that_stay_float_are_counted_and_named(caplog):
    notices.warn_once.cache_clear()
    network, inputs = own()
    low = swis.quantize(network.eval(), swis.Swis(), inputs)
    assert "of the MACs stay float, at 32 bits a weight: kinds" in caplog.text
    assert low.layers.loc["kinds.weight", ["format", "bits", "weights"]].tolist() == ["float", 32, 40]
    assert low.cost["float_weights"] == pytest.approx(40 / low.layers["weights"].sum())


def test_a_user_s_network_needs_an_example_input(tmp_path):
    network, inputs = own()
    with pytest.raises(InputError, match="the input size of TwoHeads is unknown; give calibration"):
        swis.quantize(network.eval(), swis.Swis())
    low = swis.quantize(network, swis.Swis(), example=inputs)
    swis.save(low, tmp_path / "own.safetensors")
    with pytest.raises(
        InputError, match="timm does not know the network TwoHeads; give one of the same class"
    ):
        swis.load(tmp_path / "own.safetensors")
    with pytest.raises(InputError, match="and the given network, Tokens, do not fit"):
        swis.load(tmp_path / "own.safetensors", Tokens())


def test_settings_that_do_not_fit_together_are_refused():
    network, images = small_timm()
    network.eval()
    for wrong, reason in (
        (
            lambda: swis.quantize(network, swis.Swis(), activation_bits=8),
            "activation_bits=8 needs a calibration set",
        ),
        (
            lambda: swis.quantize(network, swis.Swis(), calibrate="stats"),
            "calibrate=stats needs a calibration set",
        ),
        (lambda: swis.quantize(network, swis.Swis(), images, calibrate="magic"), "calibrate .*magic"),
        (lambda: swis.quantize(network, swis.Float(), images), "the format float does not quantize"),
        (
            lambda: swis.quantize(network, swis.Swis(shifts=2.5), images),
            "shifts=2.5 is an average",
        ),
        (lambda: swis.quantize(network, swis.Swis(), images, skip=["x"]), "skip: 'x' matches no layer"),
        (lambda: swis.simulate(swis.quantize(network, swis.Swis(), images)), "activations are float"),
        (lambda: swis.evaluate(network, [images]), "data has no labels"),
        (lambda: swis.schedule(network, swis.Swis(shifts=2.5), policy="network"), "needs a calibration set"),
        (lambda: swis.sensitivity(network, swis.Int8(), images), "has no number of shifts"),
    ):
        with pytest.raises(InputError, match=reason):
            wrong()


def test_a_timm_network_changed_by_hand_is_not_loaded_by_its_name(tmp_path):
    network, images = small_timm()
    network.global_pool = nn.Sequential(network.global_pool, nn.Softmax(1))
    low = swis.quantize(network.eval(), swis.Swis(), images)
    swis.save(low, tmp_path / "low.safetensors")
    with pytest.raises(InputError, match="timm does not know the network"):
        swis.load(tmp_path / "low.safetensors")
    assert torch.equal(call(swis.load(tmp_path / "low.safetensors", network), images), call(low, images))


def test_tables_of_formats_and_accelerators():
    assert list(swis.formats().index[:3]) == ["float", "int8", "swis"]
    assert {"swis_ss", "bitwave", "stripes"} <= set(swis.accelerators().index)
    for name in swis.__all__:
        assert callable(getattr(swis, name)), name
