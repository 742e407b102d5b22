"""What other quantization tools reach with our weights, images and bits: results/peers.csv."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.accuracy import full
from docs.tables.rows import called, of
from swis.formats.swis import Swis
from swis.formats.uniform import Uniform
from swis.plots.names import label_of

_COMMAND = "python benchmarks/peers.py"
_TOOLS = {"aimet": "AIMET", "brevitas": "Brevitas", "nncf": "NNCF", "quanto": "optimum-quanto"}
_INDEX = ["model", "made by", "weights"]
_COLUMNS = {
    "weight_bits": "storage [bits/weight]",
    "top1": "top-1 [%]",
    "agreement": "agreement [%]",
    "kl": "KL divergence [nats]",
    "logit_sqnr_db": "SQNR of logits [dB]",
}


def measurements(results: Path) -> pd.DataFrame:
    """Return all rows of other tools: those that were measured, and those that were refused or failed."""
    return pd.read_csv(results / "peers.csv")


def _ours(results: Path) -> pd.DataFrame:
    """Return our rows of about as many bits: the uniform quantizer of 4 bits, and SWIS at two shifts."""
    rows = of(full(results), Uniform, Swis)
    rows = rows[rows["bits"].eq(rows["method"].map({Uniform.name: 3, Swis.name: 2}))]
    weights = rows["method"].map({Uniform.name: "4 bits", Swis.name: "N = 2"})
    return rows.assign(**{"made by": rows["method"].map(label_of), "weights": weights})


@table(
    f"{_COMMAND} experiment=efficientnet_lite0_imagenet data.root=PATH",
    f"{_COMMAND} experiment=mobilenet_v2_imagenet model.weights=WEIGHTS data.root=PATH",
)
def peers(results: Path) -> pd.DataFrame:
    """Post-training quantization by other tools and by this suite: 8-bit activations, the same 256 images."""
    rows = measurements(results).query("status == 'ok'")
    names = rows["tool"].map(_TOOLS) + ", " + rows["recipe"].str.replace("_", " ")
    theirs = rows.assign(**{"made by": names, "weights": rows["bits"].map("{:g} bits".format)})
    mine = _ours(results)
    mine = mine[mine["model"].isin(theirs["model"])]
    found = pd.concat([mine[[*_INDEX, *_COLUMNS]], theirs[[*_INDEX, *_COLUMNS]]])
    found = found.sort_values(["model", "top1"], ascending=[True, False], kind="stable")
    return called(found.set_index(_INDEX).rename(columns=_COLUMNS))


@values
def peers_best(results: Path) -> dict[str, str]:
    """Compare the best other tool at 4 bits with our uniform quantizer of 4 bits, on MobileNet-v2."""
    rows = measurements(results).query("status == 'ok' and bits == 4 and model == 'mobilenet_v2'")
    ours = _ours(results).query("model == 'mobilenet_v2'")
    ours = of(ours, Uniform)
    best = rows.sort_values("top1").iloc[-1]
    return {
        "tool": f"{_TOOLS[best['tool']]}",
        "top1": f"{best['top1']:.1f}",
        "bits": f"{best['weight_bits']:.1f}",
        "ours": f"{ours['top1'].item():.1f}",
    }
