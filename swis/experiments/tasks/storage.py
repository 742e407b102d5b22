"""task=storage: a table of bits per weight over methods, codings, group sizes and shifts."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import torch

from swis.encoding.encode import encode
from swis.errors import InputError
from swis.experiments.config import Config
from swis.experiments.report import storage_summary
from swis.experiments.study import prepare
from swis.experiments.tables import table_settings
from swis.formats.int8 import Int8
from swis.networks.apply import encode_layers
from swis.networks.computed_weights import plain_copy
from swis.packing.storage import storage_table
from swis.results import records
from swis.runtime.files import check_output


def run(config: Config, command: str) -> str:
    """Write the table of ``swis.packing.storage`` for the network, and for Gaussian weights of its shapes.

    Layers in ``skip`` are left out. Weights that several layers share count once. Weights that belong to no
    layer count as float. Raises ``InputError`` if ``skip`` leaves no layer.
    """
    path = Path(config.out)
    check_output(path, config.force)
    study = prepare(config)
    fmt = Int8(
        magnitude_bits=config.magnitude_bits,
        granularity=str(config.granularity),
        clip=str(config.clip),
    )
    generator = torch.Generator().manual_seed(config.seed)
    encoded = encode_layers(plain_copy(study.base_module), fmt)
    distinct = {id(layer): name for name, layer in encoded.items() if name not in study.skip}
    if not distinct:
        raise InputError("skip leaves no layer to measure")
    real = {name: encoded[name].codes for name in distinct.values()}
    gaussian = {
        name: encode(torch.randn(encoded[name].shape, generator=generator), fmt).codes
        for name in distinct.values()
    }
    left, tables = study.float_weights, []
    for source, layers in ((study.network.weights, real), ("gaussian", gaussian)):
        table = storage_table(layers, config.magnitude_bits, float_weights=left)
        table.insert(0, "weights", source)
        table.insert(0, "model", config.model.label)
        tables.append(table)
    whole = pd.concat(tables, ignore_index=True)
    records.write_table(whole.assign(config=json.dumps(table_settings(config))), path)
    return f"{storage_summary(tables[0])}\n\n{len(whole)} rows in {path}"
