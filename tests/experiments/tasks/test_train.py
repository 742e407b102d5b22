"""task=train: training from scratch, and the metadata of a checkpoint."""

import json

import numpy as np
import pytest
import torch
from conftest import TINY

from swis.experiments.config import load
from swis.experiments.run import run
from swis.networks.models import load_network


@pytest.fixture
def train_tiny(tmp_path):
    """Return a function that trains a small network on 64 random images and returns it with the report."""
    from tools.embed_fashion_mnist import write_idx

    random = np.random.default_rng(0)
    for split, count in (("train", 64), ("t10k", 20)):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", random.integers(0, 256, (count, 28, 28)))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", np.arange(count) % 10)
    model = ["model=timm", f"model.name={TINY}"]

    def trained(*overrides):
        output = tmp_path / "out.safetensors"
        sizes = [
            "recipe.input_size=[1,32,32]",
            "recipe.mean=[0.5]",
            "recipe.std=[0.5]",
            "recipe.batch_size=16",
        ]
        paths = [f"data.root={tmp_path}", f"recipe.output={output}"]
        text = run(
            load(["task=train", *model, *sizes, *paths, *overrides]), "python run.py task=train model=timm"
        )
        return load_network(load([*model, f"model.weights={output}"]).model), text

    return trained


STAGES = ("{epochs: 1, image_sizes: [32]}", "{epochs: 1, image_sizes: [32], random_erasing: 0.5}")


def test_training_writes_a_checkpoint_with_its_settings(train_tiny):
    network, text = train_tiny(f"recipe.stages=[{', '.join(STAGES)}]")
    assert f"{float(network.metadata['top1']):.2f} % top-1 on 20 images" in text
    assert network.metadata["command"] == "python run.py task=train model=timm"
    recipe = json.loads(network.metadata["recipe"])
    assert recipe["stages"][1]["random_erasing"] == 0.5
    assert recipe["momentum"] == [0.85, 0.95]
    assert network.inputs["mean"] == [0.5]


def test_training_averages_the_ends_of_its_last_stages(train_tiny):
    ends = [train_tiny(f"recipe.stages=[{', '.join(STAGES[:count])}]")[0] for count in (1, 2)]
    average, _ = train_tiny(f"recipe.stages=[{', '.join(STAGES)}]", "recipe.average=2")
    first, second = (dict(end.module.named_parameters()) for end in ends)
    for name, weight in average.module.named_parameters():
        mean = (first[name] + second[name]) / 2
        torch.testing.assert_close(weight, mean, rtol=2e-3, atol=1e-4)  # weights are rounded to float16
    assert not torch.equal(first["conv_stem.weight"], second["conv_stem.weight"])
    statistics = [end.module.bn1.running_mean for end in (*ends, average)]
    assert not torch.allclose(statistics[2], (statistics[0] + statistics[1]) / 2, rtol=1e-2)


def test_finetuning_starts_from_the_weights_of_a_checkpoint(train_tiny, tmp_path):
    first, _ = train_tiny("recipe.stages=[{epochs: 1, image_sizes: [32]}]")
    kept = (tmp_path / "out.safetensors").rename(tmp_path / "first.safetensors")
    slowly = "recipe.stages=[{epochs: 1, image_sizes: [32], learning_rate: 1e-6}]"
    # the checkpoint's own preprocessing is used, not that of the recipe
    tuned, _ = train_tiny(slowly, "recipe.finetune=true", f"model.weights={kept}", "recipe.mean=[0.4]")
    assert tuned.inputs == first.inputs
    assert json.loads(first.metadata["recipe"])["mean"] == [0.5]
    assert "mean" not in json.loads(tuned.metadata["recipe"])
    before, after = first.module.conv_stem.weight, tuned.module.conv_stem.weight
    torch.testing.assert_close(after, before, rtol=2e-3, atol=1e-4)
    assert not torch.equal(tuned.module.bn1.running_mean, first.module.bn1.running_mean)
