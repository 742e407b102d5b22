"""Time that the explorer takes to redraw: python benchmarks/explore.py.

The benchmark moves every control of every tab, for every network of the package. In the tabs Weights and
Network it does so for the first layer, the middle layer and the largest layer. A time includes computing the
picture and writing it as the text that the page shows. It does not include the browser's work. The project's
limits are 300 ms for the median and 600 ms for the maximum.
"""

import time
from collections.abc import Iterable

import ipywidgets as widgets
import pandas as pd

from swis.explore.accelerator import AcceleratorTab
from swis.explore.network import NetworkTab
from swis.explore.subject import MODELS, Subject
from swis.explore.tab import Tab
from swis.explore.trade_off import TradeOffTab, folders
from swis.explore.weights import WeightsTab

MOST = 8  # at most so many values of a control are measured


def values_of(control: widgets.Widget) -> list[object]:
    """Return values that are spread over the range of a control."""
    if isinstance(control, widgets.IntSlider):
        return sorted(
            {round(control.min + n * (control.max - control.min) / (MOST - 1)) for n in range(MOST)}
        )
    if isinstance(control, widgets.SelectMultiple):
        every = [value for _, value in control._options_full]
        return [tuple(every[:1]), tuple(every[:2]), tuple(every[:3])] if every else []
    if isinstance(control, widgets.Checkbox):
        return [True, False]
    if isinstance(control, widgets.Text):
        return ["bits <= 3", ""]
    every = [value for _, value in control._options_full]
    return every[:: -(-len(every) // MOST)]


def redraws(tab: Tab, controls: Iterable[widgets.Widget]) -> Iterable[tuple[str, float]]:
    """Move every control and then reset it; yield its name and the time [ms] of each move."""
    for control in controls:
        before = control.value
        for value in [*values_of(control), before]:
            start = time.perf_counter()
            control.value = value
            yield control.description, 1e3 * (time.perf_counter() - start)


def main() -> None:
    rows = []

    def measure(name: str, network: str, tab: Tab, controls: list[widgets.Widget]) -> None:
        found = redraws(tab, controls)
        rows.extend({"tab": name, "network": network, "control": control, "ms": ms} for control, ms in found)

    for model in MODELS.values():
        subject = Subject.of(model)
        names = subject.names
        largest = max(names, key=lambda name: subject.weights[name].numel())
        weights, network = WeightsTab(subject, False), NetworkTab(subject, False)
        for layer in dict.fromkeys([names[0], names[len(names) // 2], largest]):
            weights.look_at(subject, layer)
            moved = [weights.shifts, weights.row, weights.place, weights.group_size, weights.formats]
            measure("Weights", model, weights, moved)
            network.layer.value = layer
            measure("Network", model, network, [network.its_shifts, network.its_format])
        measure("Network", model, network, [network.layer, network.shifts, network.format, network.design])
        accelerator = AcceleratorTab(subject, False)
        moved = [*accelerator.sizes.values(), accelerator.shifts, accelerator.format, accelerator.designs]
        measure("Accelerator", model, accelerator, moved)
    for folder in folders():
        tab = TradeOffTab(folder)
        moved = [tab.x, tab.y, tab.colour, tab.facet, tab.only, tab.query, tab.logarithmic]
        measure("Trade-off", folder.name, tab, moved)
    table = pd.DataFrame(rows)
    for by in (["tab"], ["tab", "network"], ["tab", "control"]):
        times = table.groupby(by, sort=False)["ms"]
        print(times.agg(["median", "max", "count"]).round().astype(int).to_string(), end="\n\n")


if __name__ == "__main__":
    main()
