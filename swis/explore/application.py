"""The explorer: weights, network, trade-off and accelerator as tabs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ipywidgets as widgets
import pandas as pd

from swis.explore.accelerator import AcceleratorTab
from swis.explore.drawing import Drawing
from swis.explore.network import NetworkTab
from swis.explore.picture import page
from swis.explore.png import png
from swis.explore.sources import folders
from swis.explore.subject import Subject
from swis.explore.tab import Tab
from swis.explore.trade_off import TradeOffTab
from swis.explore.weights import WeightsTab


class Application(widgets.Tab):
    """Tabs by their titles in ``pages``; a click on a layer of the network opens it under Weights.

    ``_repr_mimebundle_`` has the pictures of all tabs, which a notebook shows without a kernel.
    """

    def __init__(self, pages: dict[str, Tab]) -> None:
        self.pages = pages
        super().__init__(list(pages.values()), titles=list(pages))
        self.selected_index = 0

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, Any]:
        drawings: list[Drawing] = []
        for title, tab in self.pages.items():
            heading = Drawing(820, 50, row=True)
            heading.text(14, 34, title, size=22, bold=True)
            drawings += [heading, *tab.picture.drawings]
        return super()._repr_mimebundle_(**kwargs) | {"image/png": png(page(drawings))}


def application(
    network: Any = None, calibration: Any = None, *, table: pd.DataFrame | str | Path | None = None
) -> Application:
    """Return the explorer of a network, and of a ``table`` of results, as tabs.

    ``network`` is any module, with inputs for ``calibration`` as ``swis.quantize`` takes them, or what that
    returns; by default networks of the package can be chosen. ``table`` is a table or folder of results; by
    default folders of results/ can be chosen, where there are some. Raises ``InputError`` as the tabs do.

    >>> import torch
    >>> rows = pd.DataFrame({"bits": [1, 2], "top1": [60, 90]})
    >>> list(application(torch.nn.Linear(8, 4), torch.ones(1, 8), table=rows).pages)
    ['Weights', 'Network', 'Trade-off', 'Accelerator']
    """
    subject = Subject.of(network, calibration)
    weights = WeightsTab(subject)
    pages: dict[str, Tab] = {"Weights": weights}

    def opened(layer: str) -> None:
        weights.look_at(pages["Network"].subject, layer)
        found.selected_index = 0

    pages["Network"] = NetworkTab(subject, opened)
    if table is not None or folders():
        pages["Trade-off"] = TradeOffTab(table)
    pages["Accelerator"] = AcceleratorTab(subject)
    found = Application(pages)
    return found
