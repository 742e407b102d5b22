"""Accuracy without training: every format with the same calibration."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from docs.extension.registry import table
from docs.extension.values import values
from docs.tables.rows import (
    CALIBRATIONS,
    by_format,
    calibrated,
    called,
    ends,
    floats,
    imagenet_commands,
    in_order,
    of,
    of_four,
    with_float,
)
from swis.analysis.ablation import fully_calibrated
from swis.evaluation.paired_tests import Comparison, compare, holm
from swis.formats.float32 import Float
from swis.formats.int8 import Int8
from swis.formats.registry import method_names
from swis.formats.swis import Swis
from swis.formats.swis_c import SwisC
from swis.formats.truncate import Truncate
from swis.formats.uniform import Uniform
from swis.plots.names import format_name
from swis.results.records import load_table

_KEYS = ["model", "bits"]
_TOP1 = "top-1 [%]"
# SWIS formats, and the shifts of the uniform quantizer that takes about as many bits per weight.
_EQUAL_STORAGE = ((Swis.name, 1, 2), (SwisC.name, 2, 3), (Swis.name, 2, 3), (Swis.name, 3, 4))


def full(results: Path) -> pd.DataFrame:
    """Return the rows of whole output-aware calibration: M = 4, a scale per channel, seed 0."""
    return fully_calibrated(calibrated(results)).dropna(subset="bits")


@table(*imagenet_commands("calibration"))
def accuracy_top1(results: Path) -> pd.DataFrame:
    """Top-1 accuracy of calibrated networks, all formats at N cycles per weight (M = 4, seed 0)."""
    return with_float(by_format(full(results), _KEYS, "top1", _TOP1), floats(calibrated(results)))


@table()
def accuracy_bits(results: Path) -> pd.DataFrame:
    """Storage of the same networks: signs, masks and shift sets in plain coding, scales left out."""
    return by_format(full(results), _KEYS, "weight_bits", "storage [bits/weight]")


@table()
def accuracy_equal_cycles(results: Path) -> pd.DataFrame:
    """SWIS compared with the (N + 1)-bit uniform quantizer of as many cycles, image by image."""
    pairs = equal_cycles(results)
    sqnr = full(results).pivot(index=_KEYS, columns="method", values="logit_sqnr_db")
    found = compared(pairs)
    found["p, all tests (Holm)"] = [f"{p:.2g}" for p in holm(np.array([one.p_value for one in pairs]))]
    found["logits nearer by [dB]"] = sqnr[Swis.name] - sqnr[Uniform.name]
    return called(found)


def equal_cycles(results: Path) -> pd.Series:
    """Return how SWIS compares with the uniform quantizer of as many cycles, by model and bits."""
    correct = full(results).pivot(index=_KEYS, columns="method", values="correct")
    return image_by_image(correct[Swis.name], correct[Uniform.name])


def image_by_image(ones: pd.Series, others: pd.Series) -> pd.Series:
    """Return comparisons of columns ``correct`` of the same index."""
    pairs = zip(ones, others, strict=True)
    return pd.Series([compare(*pair) for pair in pairs], index=ones.index)


def compared(pairs: pd.Series) -> pd.DataFrame:
    """Return differences, their 95 % intervals and p-values as text, with the index of the ``pairs``."""
    found: Iterable[Comparison] = list(pairs)
    return pd.DataFrame(
        {
            "difference [points]": [f"{one.difference:+.1f}" for one in found],
            "95 % interval [points]": [f"{one.low:+.1f} to {one.high:+.1f}" for one in found],
            "p": [f"{one.p_value:.2g}" for one in found],
        },
        pairs.index,
    )


@table()
def accuracy_equal_storage(results: Path) -> pd.DataFrame:
    """SWIS compared with the uniform quantizer of the nearest number of bits per weight, image by image."""
    pairs = equal_storage(results)
    bits = full(results).set_index(["model", "method", "bits"])["weight_bits"]
    names, stored = [], []
    for model, method, n, m in pairs.index:
        names.append((model, format_name(method, n), format_name(Uniform.name, m)))
        stored.append(f"{bits[model, method, n]:.2f} and {bits[model, Uniform.name, m]:.2f}")
    index = pd.MultiIndex.from_tuples(names, names=["model", "format", "against"])
    found = compared(pairs.set_axis(index))
    found.insert(0, "storage [bits/weight]", stored)
    return called(found)


def equal_storage(results: Path) -> pd.Series:
    """Return comparisons by model, SWIS format and its shifts, and the uniform quantizer's shifts."""
    correct = full(results).set_index(["model", "method", "bits"])["correct"]
    found = {}
    for model in correct.index.unique("model"):
        for method, n, m in _EQUAL_STORAGE:
            theirs = correct[model, Uniform.name, m]
            found[model, method, n, m] = compare(correct[model, method, n], theirs)
    return pd.Series(found).rename_axis(["model", "method", "bits", "other"])


def _by_group_size(results: Path, column: str, title: str) -> pd.DataFrame:
    rows = of(fully_calibrated(calibrated(results), group_size=None), Swis)
    pivoted = rows.pivot(index=_KEYS, columns="group_size", values=column)
    pivoted = pivoted.rename(columns="M = {:g}".format).rename_axis(columns=None)
    return called(pd.concat({title: pivoted}, axis=1))


@table(
    *(
        f"{command} group_size=2,8,16 calibrate=output_aware methods=[swis]"
        for command in imagenet_commands("calibration")
    )
)
def accuracy_groups(results: Path) -> pd.DataFrame:
    """Top-1 accuracy of calibrated SWIS networks by group size M."""
    return _by_group_size(results, "top1", _TOP1)


@table()
def accuracy_group_bits(results: Path) -> pd.DataFrame:
    """Storage of the same networks by group size M, plain coding."""
    return _by_group_size(results, "weight_bits", "storage [bits/weight]")


@table(
    f"{imagenet_commands('calibration')[1]} bits=4",
    imagenet_commands("calibration_per_tensor")[1],
)
def accuracy_truncation(results: Path) -> pd.DataFrame:
    """MobileNet-v2 at four bits (N = 4), by what shares a scale and by calibration."""
    pivoted = truncation_at_four(results)
    found = pd.concat({_TOP1: in_order(pivoted)}, axis=1)
    found["SWIS above truncation [points]", ""] = pivoted[Swis.name] - pivoted[Truncate.name]
    return called(found.rename_axis(columns=[None, None]))


def truncation_at_four(results: Path) -> pd.DataFrame:
    """Return top-1 [%] at four bits by granularity and calibration, a column per format."""
    rows = of_four(calibrated(results))
    some = rows.query("model == 'mobilenet_v2' and bits == 4 and rewrites == '' and seed == 0")
    some = some[some["ingredient"].isin(["none", "stats", "scales"])]
    pivoted = some.pivot(index=["granularity", "calibrate"], columns="method", values="top1")
    return pivoted.reindex(list(CALIBRATIONS), level="calibrate")


@table(
    "python run.py --multirun bits=1,2,3,4 calibrate=output_aware results_dir=results/calibration",
    "python run.py --multirun model=resnet18 bits=1,2,3 calibrate=output_aware methods=[swis,uniform]"
    " results_dir=results/calibration",
)
def accuracy_fashion_mnist(results: Path) -> pd.DataFrame:
    """Top-1 accuracy of the embedded networks on all test images of Fashion-MNIST, calibrated alike."""
    rows = load_table(results / "calibration").query("data == 'fashion_mnist'")
    return with_float(by_format(rows.dropna(subset="bits"), _KEYS, "top1", _TOP1), floats(rows))


@table()
def published(results: Path) -> pd.DataFrame:
    """Numbers that others published: ImageNet's validation set, and CIFAR-10 for ResNet-20. None is ours."""
    rows = pd.read_csv(results / "published.csv")
    bits = {"weight_bits": "weight bits", "activation_bits": "activation bits"}
    found = rows.rename(columns=bits).set_index(["network", "method", *bits.values()])
    return called(found.rename(columns={"top1": _TOP1, "float_top1": "float top-1 [%]"}))


def _first(results: Path) -> pd.DataFrame:
    """Return the rows of the first table by calibration and format, in the order of formats."""
    rows = load_table(results / "first_table", "all")
    rows = rows.assign(calibrate=rows["calibrate"].fillna("none"))
    order = [Float.name, Int8.name, *method_names()]
    rows["format"] = [format_name(*row) for row in rows[["method", "bits"]].itertuples(index=False)]
    rows = rows.sort_values("method", key=lambda names: names.map(order.index), kind="stable")
    return rows.sort_values("calibrate", kind="stable").set_index(["calibrate", "format"])


@table("python run.py experiment=first_table")
def first_accuracy(results: Path) -> pd.DataFrame:
    """MobileNet-v2 on Fashion-MNIST at two shifts, without calibration and with matched statistics."""
    rows = _first(results)
    low, high = (rows[f"top1_{end}"].map("{:.2f}".format) for end in ("low", "high"))
    columns = {
        "top1": _TOP1,
        "interval": "95 % interval [%]",
        "agreement": "same class as float [%]",
        "cycles_per_weight": "time [cycles/weight]",
        "weight_bits": "storage [bits/weight]",
        "compression_vs_int8": "smaller than 8 bits [x]",
    }
    return called(rows.assign(interval=low + " to " + high)[list(columns)].rename(columns=columns))


@table()
def first_hardware(results: Path) -> pd.DataFrame:
    """One image of the same networks on the single-shift SWIS array of 8 x 8 PEs."""
    rows = _first(results).loc["none"]
    rows = rows[rows["method"].ne(Float.name)]
    rows = rows.assign(
        energy=rows["energy_pj"] / 1e6, traffic=rows["dram_bytes"] / 1e6, use=100 * rows["utilization"]
    )
    columns = {
        "latency_ms": "latency [ms]",
        "energy": "energy [µJ]",
        "traffic": "DRAM traffic [MB]",
        "use": "lanes in use [%]",
        "speedup_vs_stripes": "speed over 8-bit Stripes [x]",
        "speedup_vs_bitwave": "speed over 8-bit BitWave [x]",
    }
    return rows[list(columns)].rename(columns=columns)


@values
def accuracy(results: Path) -> dict[str, str]:
    reference = floats(calibrated(results))
    leads = pd.Series({place: one.difference for place, one in equal_cycles(results).items()})
    bits = full(results).pivot(index=_KEYS, columns="method", values="weight_bits")
    pairs = [(n, m) for method, n, m in _EQUAL_STORAGE if method == Swis.name and n > 1]
    more = [bits.xs(n, level=1)[Swis.name] - bits.xs(m, level=1)[Uniform.name] for n, m in pairs]
    per_tensor = truncation_at_four(results).loc["tensor", "output_aware"]
    return {
        **{f"float_{model}": f"{top1:.1f}" for model, top1 in reference.items()},
        "lead_1": ends(leads.xs(1, level=1)),
        "fewer_bits": ends(pd.concat(more)),
        "tensor_gap": f"{per_tensor[Swis.name] - per_tensor[Truncate.name]:.1f}",
        "tensor_uniform": f"{per_tensor[Uniform.name]:.1f}",
    }
