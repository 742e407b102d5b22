"""What each freedom of a shared-set format brings."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import called, ends, imagenet_commands
from swis.analysis.freedoms import PLAIN, freedoms

_SHOWN = {
    "weight_bits": "storage [bits/weight]",
    "top1": "top-1 [%]",
    "held_out_agreement": "agreement [%]",
    "held_out_kl": "KL [nats]",
}
_COMMANDS = [
    *imagenet_commands("rate"),
    *imagenet_commands("ablation"),
    *(f"{command} methods=[swis_c] calibration.codebook=null" for command in imagenet_commands("ablation")),
]


@table(*_COMMANDS, decimals={_SHOWN["held_out_kl"]: 3})
def each_freedom(results: Path) -> pd.DataFrame:
    """SWIS at two cycles, entropy-coded, and what differs from it in one property (M = 4, seed 0)."""
    rows = freedoms(results).set_index(["model", "variant"])
    return called(rows[list(_SHOWN)].rename(columns=_SHOWN))


@values
def freedom(results: Path) -> dict[str, str]:
    """Compare every variant's KL and bits with those of plain SWIS."""
    rows = freedoms(results).set_index(["variant", "model"])
    kl, bits, said = rows["held_out_kl"], rows["weight_bits"], {}
    for name, variant in {
        "consecutive": "consecutive powers",
        "four": "4 sets per layer",
        "one": "one set per layer",
        "signed": "signed digits",
        "price": "a price of bits",
    }.items():
        said[f"kl_{name}"] = ends(kl[variant] / kl[PLAIN])
        said[f"bits_{name}"] = ends((bits[variant] - bits[PLAIN]).abs(), 2)
    return said
