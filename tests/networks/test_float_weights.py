"""Float weights outside of layers are counted and named, in rows and in tables of storage."""

import logging
from contextlib import nullcontext

import pandas as pd
import pytest
from conftest import TINY_INPUTS

from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.hardware_study import simulate_methods
from swis.experiments.report import simulation
from swis.experiments.run import run
from swis.experiments.study import prepare
from swis.experiments.tables import has_table
from swis.experiments.tasks.evaluate import evaluate_methods
from swis.networks.layers import float_weights, weight_layers
from swis.networks.macs import network_macs
from swis.networks.models import load_network, new_network, save_checkpoint
from swis.options.model import ModelConfig
from swis.runtime.notices import warn_once

KWARGS = {"img_size": 32, "patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def transformer(tmp_path_factory) -> list[str]:
    """Return overrides for a small transformer, whose position embedding stays float."""
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    config = ModelConfig(label="vit", name="vit_tiny_patch16_224", kwargs=KWARGS)
    save_checkpoint(new_network(config, 10, TINY_INPUTS, seed=0), path, {"data": "fashion_mnist"})
    return [
        *("model=timm", "model.name=vit_tiny_patch16_224", f"model.weights={path}"),
        *("data.limit=8", "data.workers=0", "calibration.images=4", "accelerator=swis_ss"),
    ]


def test_a_row_counts_float_weights_and_one_warning_names_them(transformer, tmp_path, caplog):
    warn_once.cache_clear()
    config = load([*transformer, f"results_dir={tmp_path}", "methods=[swis]"])
    with caplog.at_level(logging.WARNING, "swis"):
        rows = evaluate_methods(config).set_index("method")
        prepare(config)
    [said] = [line for line in caplog.messages if "stay float" in line]
    assert "pos_embed" in said

    module = prepare(config).network.module
    left = sum(weight.numel() for weight in float_weights(module).values())
    packed = sum(layer.weight.numel() for layer in weight_layers(module).values())
    assert left == 5 * 8  # four patches and a class token
    assert rows.loc["int8", "weight_bits"] == pytest.approx((8 * packed + 32 * left) / (packed + left))
    assert rows.loc["int8", "compression_vs_int8"] == pytest.approx(8 / rows.loc["int8", "weight_bits"])
    assert rows.loc["swis", "float_weights"] == pytest.approx(left / (packed + left))
    assert rows.loc["swis", "float_macs"] == 0
    assert rows["float_weights"].isna()["float"]


def test_a_table_of_storage_counts_float_weights(transformer, tmp_path):
    out = tmp_path / "storage.parquet"
    run(load([*transformer, "task=storage", f"out={out}"]))
    assert (pd.read_parquet(out)["float_bits"] > 0).all()


def test_networks_with_float_weights_have_other_keys_than_in_older_rows(transformer, tiny):
    plain, partly = prepare(load(tiny)), prepare(load([*transformer, *tiny[-1:]]))
    assert plain.network.digest == load_network(plain.config.model).digest
    assert partly.network.digest != load_network(partly.config.model).digest


def test_a_simulation_reports_the_macs_that_it_leaves_out(transformer):
    """They are the products in attention: 5 tokens of 8 features, with keys and with values."""
    lines, layers, _ = simulate_methods(load([*transformer, "methods=[swis]", "versus=[]"]))
    assert (lines["unsimulated_macs"] == 2 * 5 * 5 * 8).all()
    assert layers["macs"].sum() / 2 == lines["macs"].iloc[0]
    said = simulation(lines, "", [])
    assert "0.0 MMACs of float weights and between activations are not simulated" in said


@pytest.mark.parametrize("task", ["storage", "simulate"])
def test_a_table_of_other_weights_at_the_same_path_does_not_count(transformer, tmp_path, task):
    weights, out = tmp_path / "vit.safetensors", tmp_path / "table.parquet"
    config = ModelConfig(label="vit", name="vit_tiny_patch16_224", kwargs=KWARGS)
    common = [*transformer, f"model.weights={weights}", f"task={task}", f"out={out}", "versus=[]"]
    for seed in (0, 1):
        network = new_network(config, 10, TINY_INPUTS, seed=seed)
        save_checkpoint(network, weights, {"data": "fashion_mnist"})
        with nullcontext() if seed == 0 else pytest.raises(InputError, match="exists already"):
            assert not has_table(load(common))
        run(load([*common, f"force={seed == 1}"]))
        assert has_table(load(common))


def test_a_table_counts_when_its_sources_are_described_in_other_words(transformer, tmp_path):
    common = [*transformer, "task=simulate", f"out={tmp_path / 'table.parquet'}", "versus=[]"]
    run(load(common))
    assert has_table(load([*common, "energy.dram_source=elsewhere", "accelerator.source=elsewhere"]))
    with pytest.raises(InputError, match="exists already"):
        has_table(load([*common, "energy.dram_pj_per_bit=14"]))


def test_a_row_has_the_share_of_float_macs(tmp_path):
    """This network mixes kernels for every image; most of its MACs have such computed weights."""
    path = tmp_path / "mixed.safetensors"
    config = ModelConfig(label="mixed", name="tf_efficientnet_cc_b0_4e")
    network = new_network(config, 10, TINY_INPUTS, seed=0)
    save_checkpoint(network, path, {"data": "fashion_mnist"})
    chosen = ["model=timm", f"model.name={config.name}", f"model.weights={path}", "methods=[round]"]
    chosen += ["data.limit=8", "data.workers=0", "activation_bits=null", f"results_dir={tmp_path / 'runs'}"]
    rows = evaluate_methods(load(chosen)).set_index("method")
    macs = network_macs(network.module, TINY_INPUTS["input_size"])
    share = macs.float_weights / (macs.float_weights + sum(macs.layers.values()))
    assert rows.at["int8", "float_macs"] == pytest.approx(share)
    assert 0.4 < share < 1
