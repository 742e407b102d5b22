"""Weights that no format applies to are counted and named, in rows and in tables of storage."""

import logging

import pandas as pd
import pytest
from conftest import TINY_INPUTS

from swis.config import load
from swis.experiment import evaluate_methods, run
from swis.layers import float_weights, weight_layers
from swis.models import load_network, new_network, save_checkpoint
from swis.notices import warn_once
from swis.settings import ModelConfig
from swis.study import prepare

KWARGS = {"img_size": 32, "patch_size": 16, "embed_dim": 8, "depth": 1, "num_heads": 2}


@pytest.fixture(scope="module")
def transformer(tmp_path_factory) -> list[str]:
    """Overrides for a small transformer, whose position embedding stays float."""
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    config = ModelConfig(label="vit", name="vit_tiny_patch16_224", kwargs=KWARGS)
    save_checkpoint(new_network(config, 10, TINY_INPUTS, seed=0), path, {"data": "fashion_mnist"})
    return [
        *("model=timm", "model.name=vit_tiny_patch16_224", f"model.weights={path}"),
        *("data.limit=8", "data.workers=0", "calibration.images=4", "accelerator=swis_ss"),
    ]


def test_a_row_counts_them_as_float_and_one_warning_names_them(transformer, tmp_path, caplog):
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
    assert rows.loc["base", "weight_bits"] == pytest.approx((8 * packed + 32 * left) / (packed + left))
    assert rows.loc["base", "compression"] == pytest.approx(8 / rows.loc["base", "weight_bits"])
    assert rows.loc["swis", "float_weights"] == pytest.approx(left / (packed + left))
    assert rows.loc["swis", "float_macs"] == 0
    assert rows["float_weights"].isna()["float"]


def test_a_table_of_storage_counts_them(transformer, tmp_path):
    out = tmp_path / "storage.parquet"
    run(load([*transformer, "task=storage", f"out={out}"]))
    assert (pd.read_parquet(out)["float_bits"] > 0).all()


def test_networks_that_older_code_saw_in_part_have_rows_of_their_own(transformer, tiny):
    plain, partly = prepare(load(tiny)), prepare(load([*transformer, *tiny[-1:]]))
    assert plain.network.digest == load_network(plain.config.model).digest
    assert partly.network.digest != load_network(partly.config.model).digest
