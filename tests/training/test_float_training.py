"""Float training lowers the loss, resumes exactly, and refuses bad input; every setting has an effect."""

from dataclasses import fields, replace

import pytest
import timm
import torch
from torch import nn
from torch.utils.data import TensorDataset

from swis.errors import InputError
from swis.options.training import FloatTraining, RecipeConfig, Stage
from swis.training.float_training import augment, parameter_groups, train

STAGE = Stage(epochs=3, learning_rate=0.05, image_sizes=[16, 24], random_erasing=0.2)
RECIPE = FloatTraining(
    batch_size=16, momentum=[0.85, 0.95], weight_decay=1e-4, label_smoothing=0.0, translate=0.05
)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def dataset() -> TensorDataset:
    """Three classes, which differ in the bright part of the image."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(96) % 3
    images = 0.3 * torch.randn(96, 1, 24, 24, generator=generator)
    for i, label in enumerate(labels):
        images[i, :, 8 * label : 8 * label + 8] += 1
    return TensorDataset(images, labels)


def new_model():
    torch.manual_seed(0)
    return timm.create_model("resnet10t", in_chans=1, num_classes=3)


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def trained_to(path, dataset, seed=0, identity="a", on_epoch=None):
    """Train a new network on a data set, with its state in a file."""
    options = {"seed": seed, "identity": identity, "device": CPU, "state_path": path, "on_epoch": on_epoch}
    return train(new_model(), dataset, STAGE, RECIPE, **options)


def test_training_lowers_the_loss(dataset, tmp_path):
    losses = []
    trained_to(tmp_path / "s", dataset, on_epoch=lambda _, x: losses.append(x))
    assert len(losses) == 3
    assert losses[-1] < 0.5 * losses[0]


def test_a_killed_training_resumes_to_the_same_weights(dataset, tmp_path):
    class Killed(Exception):
        pass

    def kill(epoch, _):
        if epoch == 1:
            raise Killed

    whole = trained_to(tmp_path / "whole", dataset, seed=4)
    with pytest.raises(Killed):
        trained_to(tmp_path / "cut", dataset, seed=4, on_epoch=kill)
    epochs = []
    resumed = trained_to(tmp_path / "cut", dataset, 4, on_epoch=lambda epoch, _: epochs.append(epoch))
    assert epochs == [2]
    assert torch.equal(weights(whole), weights(resumed))


def test_a_state_of_another_training_is_refused(dataset, tmp_path):
    trained_to(tmp_path / "s", dataset)
    with pytest.raises(InputError, match="of another training"):
        trained_to(tmp_path / "s", dataset, identity="b")


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path):
    bad = TensorDataset(torch.full((32, 1, 24, 24), torch.nan), torch.zeros(32, dtype=torch.long))
    with pytest.raises(FloatingPointError, match="epoch 1"):
        trained_to(tmp_path / "s", bad)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("momentum", [0.95, 0.85], "momentum must be [least, most] between 0 and 1, not [0.95, 0.85]"),
        ("momentum", [0.9], "momentum must be [least, most] between 0 and 1, not [0.9]"),
        ("momentum", [0.9, 1.0], "momentum must be [least, most] between 0 and 1, not [0.9, 1.0]"),
        ("translate", 0.5, "translate must be in [0, 0.5), not 0.5"),
    ],
)
def test_recipe_options_out_of_range_are_refused(name, value, message):
    for kind in (FloatTraining, RecipeConfig):
        with pytest.raises(InputError) as refused:
            kind(**{name: value})
        assert str(refused.value) == f"recipe.{message}"


def test_fewer_images_than_a_batch_are_refused(tmp_path):
    few = TensorDataset(torch.zeros(8, 1, 24, 24), torch.zeros(8, dtype=torch.long))
    with pytest.raises(InputError, match="do not fill a batch of 16"):
        trained_to(tmp_path / "s", few)


CHANGES = {
    "epochs": [3],
    "batch_size": [32],
    "learning_rate": [0.02],
    "momentum": [[0.7, 0.95], [0.85, 0.9]],
    "weight_decay": [1e-2],
    "label_smoothing": [0.1],
    "image_sizes": [[24]],
    "translate": [0.2],
    "random_erasing": [0.9],
    "precision": ["bfloat16"],
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a function that gives the weights of a small network after a short training."""
    generator = torch.Generator().manual_seed(0)
    some = TensorDataset(torch.randn(32, 1, 24, 24, generator=generator), torch.arange(32) % 3)

    def of(**changes):
        torch.manual_seed(0)
        layers = [nn.Conv2d(1, 4, 5, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()]
        model = nn.Sequential(*layers, nn.Linear(16, 3))
        stage, recipe = (
            replace(
                known,
                **{name: value for name, value in ({"epochs": 2} | changes).items() if hasattr(known, name)},
            )
            for known in (STAGE, RECIPE)
        )
        path = tmp_path_factory.mktemp("trained") / "s"
        return weights(train(model, some, stage, recipe, seed=0, identity="a", device=CPU, state_path=path))

    return of


@pytest.fixture(scope="module")
def unchanged(trained):
    return trained()


@pytest.mark.parametrize("name", [field.name for kind in (Stage, FloatTraining) for field in fields(kind)])
def test_every_setting_of_a_recipe_changes_the_weights(name, trained, unchanged):
    for value in CHANGES[name]:
        assert not torch.equal(trained(**{name: value}), unchanged), (name, value)


def test_only_kernels_decay():
    model = new_model()
    decayed, plain = parameter_groups(model, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert plain["weight_decay"] == 0
    assert all(p.ndim > 1 for p in decayed["params"])
    assert len(decayed["params"]) + len(plain["params"]) == len(list(model.parameters()))


def test_augmentation_moves_flips_and_erases():
    generator = torch.Generator().manual_seed(0)
    ramp = torch.arange(1.0, 9.0).repeat(8, 1)[None, None].repeat(400, 1, 1, 1)
    still = augment(ramp, translate=0.0, random_erasing=0.0, generator=generator)
    flipped = (still == ramp.flip(3)).flatten(1).all(1)
    assert torch.all(flipped | (still == ramp).flatten(1).all(1))
    assert 0.4 < flipped.float().mean() < 0.6
    assert torch.equal(
        augment(ramp, translate=0.0, random_erasing=0.0, generator=generator, hflip=False), ramp
    )
    even = torch.ones(50, 1, 8, 8)  # a flip does not change it, so all other random choices can be compared
    drawn = [augment(even, 0.0, 0.5, generator.manual_seed(1), hflip) for hflip in (True, False)]
    assert torch.equal(*drawn)
    moved = augment(ramp, translate=0.25, random_erasing=0.0, generator=generator)
    empty_columns = (moved == 0).all(2).flatten(1).sum(1)
    assert empty_columns.max() == 2
    erased = augment(ramp, translate=0.0, random_erasing=0.5, generator=generator)
    assert 0.4 < (erased == 0).flatten(1).any(1).float().mean() < 0.6
