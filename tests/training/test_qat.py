"""Retraining lowers the loss, resumes exactly, and refuses bad input; every setting has an effect."""

import copy
import math
import multiprocessing
import os
import signal
import time
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from conftest import TINY, TINY_KWARGS
from torch import nn
from torch.utils.data import TensorDataset

from swis.data.image_sets import open_split
from swis.errors import InputError
from swis.formats.registry import weight_format
from swis.networks.activations import observe_ranges, quantize_activations
from swis.networks.apply import encode_layers, weight_layers
from swis.networks.models import load_network
from swis.options.data import DataConfig
from swis.options.model import ModelConfig
from swis.options.training import RetrainConfig
from swis.training.float_training import augment
from swis.training.parametrization import LatentTraining, add_latents, latents
from swis.training.qat import Retraining, _cosine, _optimizer, retrain, task_loss

CPU = torch.device("cpu")
RECIPE = Retraining(epochs=3, batch_size=16, learning_rate=0.01, translate=0.05, random_erasing=0.2)


pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def float_network(checkpoint, count):
    model = ModelConfig(label="tiny", name=TINY, kwargs=TINY_KWARGS, weights=str(checkpoint))
    network = load_network(model)
    data = DataConfig(name="fashion_mnist", split="test", calibration_split="train")
    split = open_split(data, "train").sample(count, 0).prepared(network.transform(), network.channels)
    images, labels = zip(*(split[i] for i in range(count)), strict=True)
    return network.module.eval(), TensorDataset(torch.stack(images), torch.tensor(labels))


def setting(checkpoint, method="swis", settings=None, count=64):
    """Return a float network, a quantized copy of it, and images."""
    network, dataset = float_network(checkpoint, count)
    teacher, student = copy.deepcopy(network), copy.deepcopy(network)
    layers = weight_layers(student)
    ranges = observe_ranges(teacher, weight_layers(teacher), [dataset.tensors[0]])
    encoded = encode_layers(student, weight_format(method, 2, 4))
    add_latents(student, encoded, settings or LatentTraining())
    quantize_activations(layers, ranges, 8)
    return teacher, student, dataset


def other_arguments(path, seed=4, identity="a", workers=0):
    """Return the other arguments of a retraining."""
    return {"seed": seed, "identity": identity, "device": CPU, "state_path": path, "workers": workers}


def go(checkpoint, path, recipe=RECIPE, identity="a", settings=None, on_epoch=None, distil=True, workers=0):
    teacher, student, dataset = setting(checkpoint, settings=settings)
    others = other_arguments(path, identity=identity, workers=workers)
    curve = retrain(student, teacher if distil else None, dataset, recipe, **others, on_epoch=on_epoch)
    return student, curve


def state(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def test_retraining_lowers_the_loss(tiny_checkpoint, tmp_path):
    student, curve = go(
        tiny_checkpoint, tmp_path / "s", replace(RECIPE, epochs=5, translate=0.0, random_erasing=0.0)
    )
    assert [point["epoch"] for point in curve] == [1, 2, 3, 4, 5]
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]
    assert all(0 < point["changed"] < 1 for point in curve)
    assert all(point["frozen"] == 0 for point in curve)
    rates = [point["learning_rate"] for point in curve]
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < rates[0] < 0.01
    assert not student.training
    gains = torch.cat([latent.gain for latent, _ in latents(student).values()])
    assert (gains != 1).any()
    for name, (latent, weight) in latents(student).items():
        encoded = latent.encoded(weight)
        assert torch.equal(encoded.weight(), student.get_submodule(name).weight)


def test_dropout_depends_only_on_the_seed(tiny_checkpoint, tmp_path):
    found = []
    for start in (1, 2):
        teacher, student, dataset = setting(tiny_checkpoint)
        torch.manual_seed(start)
        expected = torch.rand(1)
        torch.manual_seed(start)
        student.classifier = nn.Sequential(nn.Dropout(0.5), student.classifier)
        others = other_arguments(tmp_path / str(start))
        retrain(student, teacher, dataset, replace(RECIPE, epochs=1), **others)
        assert torch.rand(1) == expected
        found.append(state(student))
    assert torch.equal(*found)


def test_images_are_flipped_unless_hflip_is_off(tiny_checkpoint, tmp_path, monkeypatch):
    seen = []

    def spied(images, *settings):
        seen.append(torch.equal(augment(images, *settings), images))
        return images

    monkeypatch.setattr("swis.training.qat.augment", spied)
    recipe = replace(RECIPE, epochs=1, translate=0.0, random_erasing=0.0)
    for hflip in (True, False):
        go(tiny_checkpoint, tmp_path / str(hflip), replace(recipe, hflip=hflip))
    assert seen == [False] * 4 + [True] * 4


@pytest.mark.parametrize(("threshold", "optimizer"), [(None, "sgd"), (0.01, "sgd"), (None, "adamw")])
def test_an_interrupted_retraining_resumes_to_the_same_weights(
    threshold, optimizer, tiny_checkpoint, tmp_path
):
    settings = LatentTraining(set_update_interval=3, freeze_threshold=threshold)
    recipe = replace(RECIPE, dampening=1e-3, distillation=0.5, optimizer=optimizer)
    whole, curve = go(tiny_checkpoint, tmp_path / "whole", recipe, settings=settings)

    def interrupt(curve):
        if len(curve) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(tiny_checkpoint, tmp_path / "cut", recipe, settings=settings, on_epoch=interrupt)
    ends = []
    on = {"settings": settings, "on_epoch": lambda curve: ends.append(len(curve))}
    resumed, again = go(tiny_checkpoint, tmp_path / "cut", recipe, **on)
    assert ends == [2, 3]
    assert again == curve
    assert torch.equal(state(resumed), state(whole))
    assert (curve[-1]["frozen"] > 0) == (threshold is not None)
    done, same = go(tiny_checkpoint, tmp_path / "cut", recipe, settings=settings)
    assert same == curve
    assert torch.equal(state(done), state(whole))


def retrain_in_a_process(checkpoint, path, done):
    def report(curve):
        done.put(len(curve))
        if len(curve) == 2:
            time.sleep(60)  # time for the parent to kill this process

    torch.set_num_threads(1)
    go(checkpoint, path, on_epoch=report)


def test_a_killed_process_resumes_to_the_same_weights(tiny_checkpoint, tmp_path):
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    arguments = (tiny_checkpoint, tmp_path / "cut", done)
    process = context.Process(target=retrain_in_a_process, args=arguments, daemon=True)
    process.start()
    # the state of the second epoch is not yet stored
    assert [done.get(timeout=300), done.get(timeout=300)] == [1, 2]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    ends = []
    resumed, curve = go(tiny_checkpoint, tmp_path / "cut", on_epoch=lambda curve: ends.append(len(curve)))
    assert ends == [2, 3]
    whole, expected = go(tiny_checkpoint, tmp_path / "whole")
    assert curve == expected
    assert torch.equal(state(resumed), state(whole))


@pytest.mark.parametrize("method", ["swis_c", "swis_signed", "truncate", "round", "uniform", "uniform_group"])
def test_every_method_can_be_retrained(method, tiny_checkpoint, tmp_path):
    teacher, student, dataset = setting(tiny_checkpoint, method)
    others = other_arguments(tmp_path / "s", seed=0)
    curve = retrain(student, teacher, dataset, Retraining(epochs=8, batch_size=16), **others)
    assert all(point["changed"] > 0 for point in curve)
    assert curve[-1]["loss"] < 0.7 * curve[0]["loss"]


def test_autocast_and_the_other_optimizer_change_the_first_loss_little(tiny_checkpoint, tmp_path):
    losses = []
    for settings in ({}, {"precision": "bfloat16"}, {"optimizer": "adamw"}):
        teacher, student, dataset = setting(tiny_checkpoint)
        others = other_arguments(tmp_path / str(settings), seed=0)
        recipe = replace(RECIPE, epochs=1, batch_size=len(dataset), **settings)
        (point,) = retrain(student, teacher, dataset, recipe, **others)
        assert point["changed"] > 0
        losses.append(point["loss"])
    plain, half, adamw = losses
    assert adamw == plain  # the loss of the only step is computed before the step
    assert half == pytest.approx(plain, rel=0.05)
    assert half != plain


@pytest.mark.parametrize(("optimizer", "made"), [("sgd", torch.optim.SGD), ("adamw", torch.optim.AdamW)])
def test_scales_have_their_own_learning_rate_and_only_kernels_decay(optimizer, made, tiny_checkpoint):
    _, student, _ = setting(tiny_checkpoint)
    recipe = replace(RECIPE, scale_rate=0.5, weight_decay=0.25, momentum=0.0, optimizer=optimizer)
    names = {id(p): name for name, p in student.named_parameters()}
    found = _optimizer(student, recipe)
    assert isinstance(found, made)
    groups = found.param_groups
    of = {(group["lr"], group["weight_decay"]): {names[id(p)] for p in group["params"]} for group in groups}
    assert set(of) == {(0.01, 0.25), (0.01, 0.0), (0.5, 0.0)}
    assert all(name.endswith(".gain") for name in of[0.5, 0.0])
    assert len(of[0.5, 0.0]) == len(latents(student))
    assert all(name.endswith("weight.original") for name in of[0.01, 0.25])
    assert sum(map(len, of.values())) == len(names)


CHANGES = {
    "epochs": 2,
    "batch_size": 32,
    "optimizer": "adamw",
    "learning_rate": 0.02,
    "scale_rate": 0.02,
    "momentum": 0.5,
    "weight_decay": 1e-2,
    "warmup": 0.5,
    "label_smoothing": 0.1,
    "distillation": 0.9,
    "temperature": 2.0,
    "dampening": 0.1,
    "translate": 0.2,
    "random_erasing": 0.9,
    "hflip": False,
    "precision": "bfloat16",
    "reestimate": False,
    "set_update_interval": None,
    "learned_scale": False,
    "freeze_threshold": None,
    "ema_momentum": 0.5,
}
KINDS = (Retraining, LatentTraining)
MIXED = replace(RECIPE, epochs=1, batch_size=8, learning_rate=0.2, distillation=0.5)
FREEZING = LatentTraining(freeze_threshold=0.05, ema_momentum=0.3)


@pytest.fixture(scope="module")
def changed_weights(tmp_path_factory):
    """Return a function that gives the weights of a small network after a short retraining."""

    @cache
    def of(**changes):
        generator = torch.Generator().manual_seed(0)
        images = TensorDataset(torch.randn(64, 1, 12, 12, generator=generator), torch.arange(64) % 3)
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 3, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        teacher = nn.Sequential(*layers, nn.Linear(16, 3)).eval()
        recipe, latent = (
            replace(base, **{key: value for key, value in changes.items() if hasattr(base, key)})
            for base in (MIXED, FREEZING)
        )
        student = copy.deepcopy(teacher)
        add_latents(student, encode_layers(student, weight_format("swis", 2, 4)), latent)
        others = {
            "seed": 4,
            "identity": "a",
            "device": CPU,
            "state_path": tmp_path_factory.mktemp("s") / "s",
        }
        retrain(student, teacher, images, recipe, **others, workers=0)
        found = student.state_dict()
        return torch.cat([found[name].flatten().double() for name in found if not name.endswith("gain")])

    return of


@pytest.mark.parametrize("name", [field.name for kind in KINDS for field in fields(kind)])
def test_every_setting_of_retraining_changes_the_weights(name, changed_weights):
    plain, changed = changed_weights(), changed_weights(**{name: CHANGES[name]})
    assert changed.shape != plain.shape or not torch.equal(changed, plain)


def test_every_setting_of_retraining_is_an_option():
    known = {field.name for kind in KINDS for field in fields(kind)}
    assert {field.name for field in fields(RetrainConfig)} == known | {"split", "images"}


def test_learning_rates_grow_linearly_and_then_fall_like_a_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], 1.0)
    schedule, rates = _cosine(optimizer, replace(RECIPE, warmup=0.2), 10), []
    for step in range(1, 11):
        schedule.step_update(step)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates[0] == 0.5
    falling = [(1 + math.cos(math.pi * share / 9)) / 2 for share in range(9)]
    assert rates[1:] == pytest.approx(falling)
    assert rates[-1] > 0


def test_pure_distillation_ignores_the_labels(tiny_checkpoint):
    teacher, student, dataset = setting(tiny_checkpoint, count=8)
    images, labels = dataset.tensors
    recipe = replace(RECIPE, distillation=1.0, temperature=2.0)
    loss = task_loss(student, teacher, images, torch.full_like(labels, -1), recipe)
    with torch.no_grad():
        wanted, found = ((network(images) / 2).softmax(1) for network in (teacher, student))
    expected = 4 * (wanted * (wanted / found).log()).sum(1).mean()
    torch.testing.assert_close(loss.detach(), expected)
    mixed = task_loss(student, teacher, images, labels, replace(recipe, distillation=0.25))
    entropy = task_loss(student, None, images, labels, replace(recipe, distillation=0.0))
    torch.testing.assert_close(mixed, 0.25 * loss + 0.75 * entropy)
    torch.testing.assert_close(entropy, nn.functional.cross_entropy(student(images), labels))


def test_dampening_brings_weights_nearer_to_their_levels(tiny_checkpoint, tmp_path):
    distances = []
    for weight in (0.0, 10.0):
        recipe = replace(RECIPE, dampening=weight)
        student, _ = go(tiny_checkpoint, tmp_path / str(weight), recipe, distil=False)
        distances.append(
            sum(
                latent.off_level(w, latent.codes(w)).square().sum().item()
                for latent, w in latents(student).values()
            )
        )
    assert distances[1] < 0.5 * distances[0]


def test_more_workers_train_the_same_network(tiny_checkpoint, tmp_path):
    alone, curve = go(tiny_checkpoint, tmp_path / "alone")
    helped, same = go(tiny_checkpoint, tmp_path / "helped", workers=2)
    assert same == curve
    assert torch.equal(state(helped), state(alone))


@pytest.mark.parametrize("reestimate", [True, False])
def test_statistics_are_estimated_on_batches_of_mixed_classes(reestimate, tiny_checkpoint, tmp_path):
    teacher, student, dataset = setting(tiny_checkpoint, count=256)
    images, labels = dataset.tensors
    images = images + labels[:, None, None, None]  # the classes differ in brightness
    order = labels.argsort(stable=True)
    dataset = TensorDataset(images[order], labels[order])
    recipe = replace(RECIPE, epochs=1, batch_size=32, reestimate=reestimate)
    others = other_arguments(tmp_path / "s")
    retrain(student, teacher, dataset, recipe, **others)
    seen = []
    student.conv_stem.register_forward_hook(lambda _, __, output: seen.append(output))
    with torch.no_grad():
        student(images)
    mean, variance = seen[0].mean((0, 2, 3)), seen[0].var((0, 2, 3))
    assert torch.allclose(student.bn1.running_mean, mean, atol=1e-3, rtol=1e-2) == reestimate
    # the tolerance is a tenth of the difference of the classes
    assert torch.allclose(student.bn1.running_var, variance, rtol=0.1) == reestimate


def test_dampening_does_not_change_layers_that_do_not_run(tiny_checkpoint, tmp_path):
    teacher, student, dataset = setting(tiny_checkpoint)
    student.idle = nn.Linear(8, 2)
    add_latents(student.idle, {"": encode_layers(student.idle, weight_format("swis"))[""]}, LatentTraining())
    others = other_arguments(tmp_path / "s")
    before = student.idle.parametrizations.weight.original.clone()
    retrain(student, teacher, dataset, replace(RECIPE, epochs=1, dampening=1e-3), **others)
    assert torch.equal(student.idle.parametrizations.weight.original, before)


def test_a_state_of_another_training_is_refused(tiny_checkpoint, tmp_path):
    recipe = replace(RECIPE, epochs=1)
    go(tiny_checkpoint, tmp_path / "s", recipe)
    with pytest.raises(InputError, match="of another training"):
        go(tiny_checkpoint, tmp_path / "s", recipe, identity="b")


@pytest.mark.parametrize("damage", ["cut", "other"])
def test_a_damaged_state_is_set_aside_and_training_starts_again(damage, tiny_checkpoint, tmp_path, caplog):
    recipe, path = replace(RECIPE, epochs=1), tmp_path / "s"
    whole, curve = go(tiny_checkpoint, path, recipe)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] if damage == "cut" else b"no state")
    again, same = go(tiny_checkpoint, path, recipe)
    assert same == curve
    assert torch.equal(state(again), state(whole))
    assert "s.damaged, and training starts again" in caplog.text
    assert (tmp_path / "s.damaged").exists()


def test_a_loss_that_is_not_finite_stops_the_retraining(tiny_checkpoint, tmp_path):
    with pytest.raises(FloatingPointError, match=r"became (nan|inf) in epoch 1; a lower"):
        go(tiny_checkpoint, tmp_path / "s", replace(RECIPE, learning_rate=1e12, warmup=0.0))
    assert not (tmp_path / "s").exists()


def test_too_few_images_and_a_missing_teacher_are_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(InputError, match="do not fill a batch of 65"):
        go(tiny_checkpoint, tmp_path / "s", replace(RECIPE, batch_size=65))
    with pytest.raises(ValueError, match="needs a teacher"):
        go(tiny_checkpoint, tmp_path / "s", replace(RECIPE, distillation=0.5), distil=False)


@pytest.mark.parametrize(
    "wrong", [{"optimizer": "lion"}, {"distillation": 1.5}, {"warmup": -1.0}, {"temperature": 0.0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Retraining(**wrong)
