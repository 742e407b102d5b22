"""Which options of an accelerator go with its datapath."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class DatapathOptions:
    """What the configuration must know of a datapath; swis/hardware/datapaths has it by its name.

    It alone has the options ``own``; those in ``fixed`` have one value; those in ``needed`` are not null.
    Inputs are looked at where ``looks_at_inputs`` says so, an option and its value. A baseline with this
    datapath copies the options ``follows`` from the design that it is compared with. ``searches_tiles``:
    the order of its loops is searched for, which takes seconds.
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
        own=("shifts_per_cycle", "shared_sets", "consecutive_sets", "groups_share_lanes"),
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
    """Return the names of all datapaths."""
    return list(DATAPATHS)
