"""How many bits a weight takes, and what that is next to a uniform quantizer of the same accuracy."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.claims import board
from docs.tables.rows import called, imagenet_commands, of
from swis.analysis.claims import compression_pairs
from swis.encoding.cost import BASELINE_BITS
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.swis_signed import SwisSigned
from swis.formats.uniform import Uniform
from swis.formats.uniform_group import UniformGroup
from swis.options.choices import Coding
from swis.plots.names import format_name, network_name
from swis.results.records import load_storage

_SIZES = (2, 4, 8, 16)
_WEIGHTS = 240  # of a filter that groups of all sizes divide
_STORAGE = "python run.py experiment=storage"


def measured(results: Path) -> pd.DataFrame:
    """Return the rows of packed layers of real networks."""
    return load_storage(results / "storage").query("weights != 'gaussian'")


@table()
def storage_formula(results: Path) -> pd.DataFrame:
    """Bits per weight by the formula, where every group is full (plain coding, B = 7)."""
    lines = {}
    for kind in (Swis, SwisC):
        for shifts in (1, 2, 3, 4):
            fmts = {size: kind(shifts=shifts, group_size=size) for size in _SIZES}
            bits = {size: fmt.stored_bits(1, _WEIGHTS) / _WEIGHTS for size, fmt in fmts.items()}
            lines[format_name(kind.name, shifts)] = {
                f"M = {size}": f"{each:.2f} ({BASELINE_BITS / each:.2f}x)" for size, each in bits.items()
            }
    found = pd.DataFrame.from_dict(lines, orient="index").rename_axis("format")
    return pd.concat({"bits per weight (times smaller than 8 bits)": found}, axis=1)


@table(f"{_STORAGE} model=mobilenet_v2")
def storage_codings(results: Path) -> pd.DataFrame:
    """Bits per weight of SWIS as packed: MobileNet-v2 (embedded weights), in all codings."""
    rows = of(measured(results), Swis).query("model == 'mobilenet_v2' and bits <= 4")
    rows = rows[rows["group_size"].isin(_SIZES[1:]) & rows["coding"].isin(list(Coding))]
    found = rows.pivot(index=["bits", "group_size"], columns="coding", values="weight_bits")
    found = found[list(Coding)].set_axis(list(map(str, Coding)), axis=1)
    return called(pd.concat({"storage [bits/weight]": found}, axis=1))


@table(f"{_STORAGE} model=mobilenet_v2")
def storage_formats(results: Path) -> pd.DataFrame:
    """Weights rounded to nearest levels: bits per weight and error of MobileNet-v2 (embedded weights).

    Groups have 4 weights, those of the uniform quantizer by groups 32.
    """
    rows = measured(results).query("model == 'mobilenet_v2' and bits <= 4")
    groups = [(Swis, 4), (SwisSigned, 4), (Uniform, 1), (UniformGroup, 32)]
    mine = [of(rows, kind).query("group_size == @size") for kind, size in groups]
    rows = pd.concat(mine).sort_values("bits", kind="stable")
    names = [format_name(method, bits) for method, bits in zip(rows["method"], rows["bits"], strict=True)]
    rows = rows.assign(format=names)
    stored = rows.pivot(index=["bits", "format"], columns="coding", values="weight_bits")
    shown = [str(Coding.plain), str(Coding.entropy)]
    found = pd.concat({"storage [bits/weight]": stored[shown]}, axis=1)
    error = rows.drop_duplicates(["bits", "format"]).set_index(["bits", "format"])["sqnr_db"]
    found["SQNR of weights [dB]", ""] = error
    return called(found.loc[error.index])


@table(_STORAGE)
def storage_most(results: Path) -> pd.DataFrame:
    """The most compression of SWIS: one shift and groups of 16, whatever accuracy it costs."""
    rows = of(measured(results), Swis).query("group_size == 16 and bits == 1")
    columns = {"weight_bits": "storage [bits/weight]", "compression_vs_int8": "smaller than 8 bits [x]"}
    found = rows[rows["coding"].isin(list(Coding))].set_index(["model", "coding"])[list(columns)]
    return called(found.rename(columns=columns))


@table()
def storage_lossless(results: Path) -> pd.DataFrame:
    """8-bit weights without loss: a group has the bits that its largest magnitude needs (after DPRed)."""
    rows = load_storage(results / "storage").query("method == 'dpred' and group_size in [2, 4, 8, 16, 32]")
    weights = rows["weights"].where(rows["weights"] == "gaussian", "trained").replace("gaussian", "Gaussian")
    found = rows.assign(weights=weights).pivot(
        index=["model", "weights"], columns="group_size", values="formula_bits"
    )
    found = found.rename(columns="M = {:g}".format).rename_axis(columns=None)
    return called(pd.concat({"storage [bits/weight]": found}, axis=1))


@table(
    *(
        f"{command} bits=1,2,3,4 group_size=2,4,8,16 calibrate=output_aware methods=[swis,swis_c,uniform]"
        for command in imagenet_commands("calibration")
    )
)
def storage_equal_accuracy(results: Path) -> pd.DataFrame:
    """The smallest calibrated networks that lose at most so many points to float."""
    pairs = compression_pairs(results)
    chosen = pairs[["method", "bits", "group_size"]].itertuples(index=False)
    ours = [f"{format_name(method, bits)}, M = {size:g}" for method, bits, size in chosen]
    return pd.DataFrame(
        {
            "network": pairs["network"].map(network_name),
            "at most lost [points]": pairs["points"],
            "smallest SWIS": ours,
            "SWIS smaller than 8 bits [x]": pairs["swis"],
            "smallest uniform": [f"{bits + 1:g} bits" for bits in pairs["uniform_bits"]],
            "uniform smaller than 8 bits [x]": pairs["uniform"],
            "SWIS over uniform [x]": pairs["swis"] / pairs["uniform"],
        }
    ).set_index(["network", "at most lost [points]"])


@values
def storage(results: Path) -> dict[str, str]:
    shown = board(results).set_index("claim").loc["weight compression"]
    packed = of(measured(results), Swis).query("coding == @Coding.entropy and group_size == 16")
    fullest = Swis(shifts=1, group_size=16)
    return {
        "fair": f"{shown['fair']:.2f}",
        "fair_format": format_name(shown["method"], shown["bits"]),
        "most": f"{shown['most']:.2f}",
        "most_entropy": f"{packed['compression_vs_int8'].max():.2f}",
        "formula_most": f"{BASELINE_BITS * _WEIGHTS / fullest.stored_bits(1, _WEIGHTS):.2f}",
    }
