"""Designs of accelerators as their sizes change, and what a network takes on them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Any

import pandas as pd

from swis.errors import InputError
from swis.explore.looks import design_looks
from swis.explore.subject import Given, Subject, format_of
from swis.explore.words import described
from swis.formats.registry import int8_of
from swis.formats.swis_c import SwisC
from swis.formats.weight_format import WeightFormat
from swis.hardware.accelerator import Accelerator
from swis.hardware.designs import design, energy_table
from swis.hardware.energy import Chip
from swis.hardware.simulate import totals
from swis.options.conf_files import accelerator_named, accelerator_names, energies_named
from swis.plots.names import design_name

ENERGIES = "nm45"
FIRST = "swis_ss"  # the design of a SWIS lane with one shift a cycle


@cache
def designs() -> dict[str, bool]:
    """Return the accelerators, those of SWIS first, and whether they follow a slider at once.

    Those that look at the values of weights or inputs, or search for the order of their loops, do not. They
    come last.

    >>> known = designs()
    >>> known["swis_ss"], known["bitwave"], known["bitfusion"]
    (True, False, False)
    """
    arrays = {name: design_of(name)[0] for name in accelerator_names()}
    fast = {name: not (each.needs_codes or each.known.searches_tiles) for name, each in arrays.items()}
    return {name: fast[name] for name in sorted(design_looks(arrays), key=lambda name: not fast[name])}


def design_of(
    name: str, changes: Mapping[str, Any] | None = None, group_size: int = 4
) -> tuple[Accelerator, Chip]:
    """Return a design, with ``changes`` of its options, and its chip; what its datapath fixes stays.

    ``lanes`` are those of "swis_ss": a design that has twice as many keeps twice as many.

    >>> design_of("swis_ss", {"rows": 16})[0].rows, design_of("loom", {"lanes": 8})[0].lanes
    (16, 64)
    """
    settings, wanted = accelerator_named(name), dict(changes or {})
    if "lanes" in wanted and type(settings.lanes) is int:
        wanted["lanes"] = max(1, settings.lanes * wanted["lanes"] // accelerator_named(FIRST).lanes)
    wanted = {key: value for key, value in wanted.items() if key not in settings.known.fixed}
    return design(replace(settings, **wanted), energy_table(energies_named(ENERGIES)), group_size)


def weights_on(array: Accelerator, given: Given) -> Given:
    """Return the weights that a design is given: in their format if it is made for that, or in 8 bits.

    >>> from swis.formats.swis import Swis
    >>> weights_on(design_of("stripes")[0], Swis(shifts=2)).name
    'int8'
    """
    fmt = format_of(given)
    unshared = fmt.grouped and (fmt.scaled_groups or not array.shared_sets)
    unsigned = fmt.digit_exponents() is not None and not array.signed_digits
    if array.known is not accelerator_named(FIRST).known or unshared or unsigned:
        return int8_of(fmt)
    if not (array.consecutive_sets and fmt.grouped) or fmt.consecutive:
        return given
    if isinstance(given, WeightFormat):
        return SwisC(**{each.name: getattr(fmt, each.name) for each in fields(SwisC)})
    return int8_of(fmt)


@dataclass(frozen=True)
class Simulated:
    """What designs take: ``layers`` has every layer, ``totals`` a line for each design for one image.

    Columns are those of ``swis.hardware.simulate``, with ``accelerator``, ``format`` and, of totals,
    ``dram_bytes_per_cycle``. ``waiting`` names the designs that were not computed, ``refused`` says by name
    why a design cannot run the network.
    """

    layers: pd.DataFrame
    totals: pd.DataFrame
    waiting: Sequence[str] = ()
    refused: Mapping[str, str] | None = None


def simulated(
    subject: Subject,
    names: Sequence[str],
    given: Mapping[str, Given],
    changes: Mapping[str, Any] | None = None,
    slow: bool = True,
) -> Simulated:
    """Return what a network takes on designs by ``names``, its weights as they are ``given`` by layer.

    Without ``slow``, designs that take seconds are only there if they were computed before. Raises
    ``InputError`` if no design is left.

    >>> import torch
    >>> from swis.formats.swis import Swis
    >>> subject = Subject.of(torch.nn.Linear(8, 4), torch.ones(1, 8))
    >>> int(simulated(subject, ["swis_ss"], {"": Swis(shifts=2)}).totals["macs"].iloc[0])
    32
    """
    layers, sums, waiting, refused = [], [], [], {}
    group_size = max(format_of(each).group_size for each in given.values())
    for name in names:
        array, chip = design_of(name, changes, group_size)
        mine = {layer: weights_on(array, each) for layer, each in given.items()}
        try:
            found = subject.runs(mine, array, chip, slow or designs()[name])
        except InputError as error:
            refused[name] = str(error)
            continue
        if found is None:
            waiting.append(name)
            continue
        table = pd.DataFrame(found)
        words = dict.fromkeys(map(described, mine.values()))
        who = {"accelerator": name, "format": next(iter(words)) if len(words) == 1 else "several formats"}
        layers.append(table.assign(**who))
        rate = array.memory.dram_bits_per_cycle
        who["dram_bytes_per_cycle"] = None if rate is None else rate / 8
        sums.append(who | totals(table, array, chip))
    if not sums:
        reasons = [f"{design_name(name)}: {why}" for name, why in refused.items()]
        raise InputError("; ".join(reasons) or "no design that is chosen has been computed yet")
    return Simulated(pd.concat(layers, ignore_index=True), pd.DataFrame(sums), waiting, refused)
