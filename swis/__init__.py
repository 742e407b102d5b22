"""SWIS: shared weight bit sparsity, from decomposition to accuracy, cycles and storage."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Float",
    "Int8",
    "OutputAware",
    "Quantized",
    "Reconstruction",
    "RetrainConfig",
    "Round",
    "ScheduleConfig",
    "Swis",
    "SwisC",
    "SwisSigned",
    "Truncate",
    "Uniform",
    "UniformGroup",
    "WeightFormat",
    "accelerator",
    "accelerators",
    "columns",
    "evaluate",
    "example",
    "export_onnx",
    "formats",
    "load",
    "load_packed",
    "load_table",
    "quantize",
    "register",
    "retrain",
    "save",
    "save_packed",
    "schedule",
    "sensitivity",
    "simulate",
]

if TYPE_CHECKING:
    from swis import formats
    from swis.api.evaluate import evaluate, sensitivity
    from swis.api.example import example
    from swis.api.files import load, save
    from swis.api.quantize import quantize, schedule
    from swis.api.quantized import Quantized
    from swis.api.retrain import retrain
    from swis.api.simulate import accelerator, accelerators, simulate
    from swis.formats.float32 import Float
    from swis.formats.int8 import Int8
    from swis.formats.registry import register
    from swis.formats.round import Round
    from swis.formats.swis import Swis
    from swis.formats.swis_c import SwisC
    from swis.formats.swis_signed import SwisSigned
    from swis.formats.truncate import Truncate
    from swis.formats.uniform import Uniform
    from swis.formats.uniform_group import UniformGroup
    from swis.formats.weight_format import WeightFormat
    from swis.options.calibrations import OutputAware, Reconstruction
    from swis.options.scheduling import ScheduleConfig
    from swis.options.training import RetrainConfig
    from swis.packing.file import load_packed, save_packed
    from swis.packing.onnx_export import export_onnx
    from swis.results.dictionary import columns
    from swis.results.records import load_table

_HOMES = {
    "swis.api.evaluate": ("evaluate", "sensitivity"),
    "swis.api.example": ("example",),
    "swis.api.files": ("load", "save"),
    "swis.api.quantize": ("quantize", "schedule"),
    "swis.api.quantized": ("Quantized",),
    "swis.api.retrain": ("retrain",),
    "swis.api.simulate": ("accelerator", "accelerators", "simulate"),
    "swis.formats.float32": ("Float",),
    "swis.formats.int8": ("Int8",),
    "swis.formats.registry": ("register",),
    "swis.formats.round": ("Round",),
    "swis.formats.swis": ("Swis",),
    "swis.formats.swis_c": ("SwisC",),
    "swis.formats.swis_signed": ("SwisSigned",),
    "swis.formats.truncate": ("Truncate",),
    "swis.formats.uniform": ("Uniform",),
    "swis.formats.uniform_group": ("UniformGroup",),
    "swis.formats.weight_format": ("WeightFormat",),
    "swis.options.calibrations": ("OutputAware", "Reconstruction"),
    "swis.options.scheduling": ("ScheduleConfig",),
    "swis.options.training": ("RetrainConfig",),
    "swis.packing.file": ("load_packed", "save_packed"),
    "swis.packing.onnx_export": ("export_onnx",),
    "swis.results.dictionary": ("columns",),
    "swis.results.records": ("load_table",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    # modules are imported on first use, so that ``import swis.experiments.config`` does not import torch
    if name in ("explore", "formats"):
        return import_module(f"swis.{name}")
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'swis' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
