"""The datapaths by their names in the configuration."""

from swis.hardware.datapaths.base import Datapath
from swis.hardware.datapaths.fusion import Fusion
from swis.hardware.datapaths.serial import Serial
from swis.hardware.datapaths.skipping import Skipping
from swis.hardware.datapaths.swis import Swis
from swis.hardware.datapaths.systolic import Systolic

DATAPATHS: dict[str, Datapath] = {kind.name: kind() for kind in (Swis, Systolic, Serial, Skipping, Fusion)}
