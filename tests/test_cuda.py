"""CUDA: integers equal those of the CPU, floats are close to them, and every run gives the same numbers."""

import copy
from dataclasses import replace

import pytest
import torch
from torch.utils.data import TensorDataset

import swis
from swis.calibration.layerwise import calibrate
from swis.calibration.output_aware import OutputAware, walking
from swis.encoding.decompose import decompose
from swis.evaluation.predict import predict
from swis.formats.registry import weight_format
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, weight_layers
from swis.networks.batch_norm import fused
from swis.runtime.devices import pick_device
from swis.training.parametrization import LatentTraining, add_latents
from swis.training.qat import Retraining, retrain

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

METHODS = ("swis", "swis_c", "truncate", "round")


@pytest.fixture(scope="module")
def cuda():
    return pick_device("cuda")


@pytest.fixture(scope="module")
def images():
    return torch.rand(64, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("group_size", [1, 4, 7])
def test_decompositions_equal_those_of_the_cpu(cuda, method, group_size):
    codes = torch.randint(-127, 128, (64, 150), generator=torch.Generator().manual_seed(1)).to(torch.int8)
    here, there = (
        decompose(codes.to(place), weight_format(method, 3, group_size)) for place in ("cpu", cuda)
    )
    assert torch.equal(here.codes, there.codes.cpu())
    assert torch.equal(here.shift_sets, there.shift_sets.cpu())


def test_logits_are_close_to_those_of_the_cpu(cuda, model, images):
    batches = [(batch, torch.zeros(len(batch)).long()) for batch in images.split(16)]
    here, there = (predict(copy.deepcopy(model), batches, torch.device(d), "") for d in ("cpu", cuda))
    assert torch.allclose(here.logits, there.logits, atol=1e-4 * float(here.logits.abs().max()))


@pytest.mark.parametrize("method", ["swis", "truncate", "uniform"])
@pytest.mark.parametrize("order", ["filter", "variance"])
def test_calibration_is_close_to_that_of_the_cpu_and_repeatable(cuda, model, images, method, order):
    reference, settings = fused(model, (1, 32, 32)), OutputAware(positions=4096, order=order)
    made = []
    for device in ("cpu", cuda, cuda):
        network = copy.deepcopy(reference)
        fmt = weight_format(method, 2)
        encoded = calibrate(reference, network, fmt, images, walking(settings), device=device)
        assert next(reference.parameters()).device.type == "cpu"
        codes = torch.cat([found.codes.flatten() for found in encoded.values()])
        with torch.inference_mode():
            made.append((codes, network(images)))
    assert torch.equal(made[1][0], made[2][0])
    assert torch.equal(made[1][1], made[2][1])
    with torch.inference_mode():
        wanted = reference(images)
    errors = [float((logits - wanted).square().mean()) for _, logits in made]
    assert 0.8 < errors[1] / errors[0] < 1.25


@pytest.mark.parametrize("method", ["swis", "uniform"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "settings",
    [LatentTraining(), LatentTraining(set_update_interval=2, freeze_threshold=0.02)],
    ids=["plain", "freezing"],
)
def test_retraining_learns_and_is_repeatable(cuda, model, images, tmp_path, method, settings, precision):
    recipe = Retraining(epochs=3, batch_size=16, distillation=1.0, dampening=0.01, precision=precision)
    labels = torch.zeros(len(images)).long()

    def run(name, recipe=recipe, on_epoch=None):
        student = copy.deepcopy(model)
        encoded = encode_layers(student, weight_format(method, 2))
        ranges = observe_ranges(copy.deepcopy(model), weight_layers(student), [images])
        add_latents(student, encoded, settings)
        quantize_activations(weight_layers(student), ranges, 8)
        further = {"seed": 0, "identity": "a", "device": cuda, "state_path": tmp_path / name, "workers": 0}
        dataset = TensorDataset(images, labels)
        curve = retrain(student, copy.deepcopy(model), dataset, recipe, **further, on_epoch=on_epoch)
        return student.cpu().state_dict(), curve

    def stop(_):
        raise KeyboardInterrupt

    whole, curve = run("whole")
    assert curve[-1]["loss"] < curve[0]["loss"]
    with pytest.raises(KeyboardInterrupt):
        run("cut", on_epoch=stop)
    resumed, _ = run("cut")
    assert all(torch.equal(value, resumed[name]) for name, value in whole.items())
    shorter, _ = run("shorter", replace(recipe, epochs=1))
    assert any(not torch.equal(value, shorter[name]) for name, value in whole.items())


def test_a_row_is_close_to_that_of_the_cpu(cuda, command_line, tmp_path):
    tops = []
    for device in ("cpu", "cuda"):
        arguments = ["model=mobilenet_v2", "methods=[swis]", "data.limit=500", f"device={device}"]
        done = command_line(*arguments, f"results_dir={tmp_path / device}")
        assert done.status == 0, done.err
        tops.append(swis.load_table(tmp_path / device).set_index("method")["top1"])
    assert ((tops[0] - tops[1]).abs() < 0.5).all()
