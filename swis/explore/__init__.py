"""The explorer for JupyterLab: weights, network, trade-off and accelerator, a function each, or as tabs."""

try:
    import ipywidgets  # noqa: F401
except ImportError:
    raise ImportError('swis.explore needs ipywidgets: pip install "swis[notebooks]"') from None

from swis.explore.accelerator import accelerator
from swis.explore.application import application
from swis.explore.network import network
from swis.explore.trade_off import trade_off
from swis.explore.weights import weights

__all__ = ["accelerator", "application", "network", "trade_off", "weights"]
