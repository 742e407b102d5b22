"""How long the explorer takes to redraw: python benchmarks/explore.py.

The benchmark moves every control of every tab, for every network of the package. In the tabs Weights and
Network it does so for the first layer, the middle layer and the largest layer. A time includes computing the
picture and writing it as the text that the page shows. It does not include the browser's work, slow designs,
which a button computes, and reading another folder of results. The project's limits are 300 ms for the median
and 600 ms for the maximum.
"""

import time
from collections.abc import Iterable

import ipywidgets as widgets
import pandas as pd

from swis.explore.accelerator import AcceleratorTab
from swis.explore.network import NetworkTab
from swis.explore.sources import folders
from swis.explore.subject import MODELS, Subject
from swis.explore.tab import Several
from swis.explore.trade_off import TradeOffTab
from swis.explore.weights import WeightsTab

MOST = 8  # values of a control


def values_of(control: widgets.Widget) -> list[object]:
    """Return values of a control, spread over all that it takes."""
    if isinstance(control, widgets.IntSlider):
        return sorted(
            {round(control.min + n * (control.max - control.min) / (MOST - 1)) for n in range(MOST)}
        )
    if isinstance(control, Several):
        every = [value for _, value in control.options]
        return [tuple(every[:count]) for count in (1, 2, 4, len(every))] if every else []
    if isinstance(control, widgets.Text):
        return ["bits <= 3", ""]
    every = [value for _, value in control._options_full]
    return every[:: -(-len(every) // MOST)]


def redraws(controls: Iterable[widgets.Widget]) -> Iterable[dict[str, object]]:
    """Move every control and then reset it; yield its name and the time [ms] of each move.

    ``cpu`` is the time of the processor alone, which does not depend on what else runs.
    """
    for control in controls:
        before = control.value
        for value in [*values_of(control), before]:
            wall, cpu = time.perf_counter(), time.process_time()
            control.value = value
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            yield {"control": control.description, "wall": 1e3 * wall, "cpu": 1e3 * cpu}


def main() -> None:
    lines = []

    def measure(name: str, network: str, controls: list[widgets.Widget]) -> None:
        lines.extend({"tab": name, "network": network} | found for found in redraws(controls))

    for model in MODELS.values():
        subject = Subject.of(model)
        names = subject.names
        largest = max(names, key=lambda name: subject.weights[name].numel())
        weights, network = WeightsTab(subject), NetworkTab(subject)
        for layer in dict.fromkeys([names[0], names[len(names) // 2], largest]):
            weights.look_at(subject, layer)
            moved = [weights.shifts, weights.row, weights.place, weights.group_size, weights.formats]
            measure("Weights", model, moved)
            network.layer.value = layer
            measure("Network", model, [network.its_shifts, network.its_format])
        measure(
            "Network",
            model,
            [network.layer, network.shifts, network.group_size, network.format, network.design],
        )
        accelerator = AcceleratorTab(subject)
        moved = [*accelerator.sizes.values(), accelerator.shifts, accelerator.group_size]
        moved += [accelerator.format, accelerator.designs]
        measure("Accelerator", model, moved)
    for name, folder in folders().items():
        tab = TradeOffTab(folder)
        moved = [tab.x, tab.y, tab.best, tab.colour, tab.facet, tab.only, tab.values, tab.query, tab.logs]
        measure("Trade-off", name, moved)
    table = pd.DataFrame(lines)
    for by in (["tab"], ["tab", "network"], ["tab", "control"]):
        times = table.groupby(by, sort=False)[["wall", "cpu"]]
        print(times.agg(["median", "max"]).round().astype(int).to_string(), end="\n\n")


if __name__ == "__main__":
    main()
