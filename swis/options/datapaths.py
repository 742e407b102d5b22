"""The options that each datapath of an accelerator uses."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DatapathOptions:
    """What the options must know about a datapath; its code is in swis/hardware/datapaths, by the same name.

    ``own``: options that only this datapath has. ``fixed``: options that must have this value. ``needed``:
    options that must not be null. ``looks_at_inputs``: an option and the value at which cycles depend on the
    values of the inputs. ``follows``: options that a baseline with this datapath copies from the design it is
    compared with. ``searches_tiles``: the simulation searches tile sizes and loop orders, which takes
    seconds.
    """

    own: tuple[str, ...] = ()
    fixed: dict[str, Any] = field(default_factory=dict)
    needed: tuple[str, ...] = ()
    looks_at_inputs: tuple[str, str] | None = None
    follows: tuple[str, ...] = ("spread_fc", "side_by_side")
    searches_tiles: bool = False


_PARALLEL = {"lanes": 1, "systolic": True, "spread_fc": False, "side_by_side": False}

DATAPATHS = {
    "swis": DatapathOptions(
        own=("shifts_per_cycle", "shared_sets", "consecutive_sets", "groups_share_lanes", "signed_digits"),
        follows=("spread_fc", "side_by_side", "systolic"),
    ),
    "systolic": DatapathOptions(own=("dataflow",), fixed=_PARALLEL, follows=()),
    "serial": DatapathOptions(own=("weight_serial", "sign_cycle", "activation_bits_per_cycle")),
    "skipping": DatapathOptions(own=("skipping",), looks_at_inputs=("skipping", "products")),
    "fusion": DatapathOptions(
        own=("sums_to_dram",),
        fixed=_PARALLEL | {"weight_bus_bits": None, "input_bus_bits": None},
        needed=("dram_bits_per_cycle",),
        follows=(),
        searches_tiles=True,
    ),
}


def datapath_names() -> list[str]:
    """Return the names of all datapaths.

    >>> datapath_names()
    ['swis', 'systolic', 'serial', 'skipping', 'fusion']
    """
    return list(DATAPATHS)
