"""How long the explorer takes to redraw: python benchmarks/explore.py.

For every network of the package every control of every tab takes all of its values, under Weights and
Network for the first layer, the largest and one in the middle. Times are those of computing the picture and
of writing it as the text that the page shows; what the browser does with it comes on top. The limits of the
project are 300 ms at the median and 600 ms at the largest.
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

MOST = 8  # values of a control


def values_of(control: widgets.Widget) -> list[object]:
    """Return values of a control, spread over all that it takes."""
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
    """Move controls one after the other, each back to where it was, and say how long [ms] each move took."""
    for control in controls:
        before = control.value
        for value in [*values_of(control), before]:
            start = time.perf_counter()
            control.value = value
            yield control.description, 1e3 * (time.perf_counter() - start)


def main() -> None:
    lines = []

    def measure(name: str, network: str, tab: Tab, controls: list[widgets.Widget]) -> None:
        found = redraws(tab, controls)
        lines.extend({"tab": name, "network": network, "control": what, "ms": ms} for what, ms in found)

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
    table = pd.DataFrame(lines)
    for by in (["tab"], ["tab", "network"], ["tab", "control"]):
        times = table.groupby(by, sort=False)["ms"]
        print(times.agg(["median", "max", "count"]).round().astype(int).to_string(), end="\n\n")


if __name__ == "__main__":
    main()
