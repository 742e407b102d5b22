"""The study's figures, drawn from rows of results, a file for each; python -m swis.gallery writes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).parents[2] / "results"


def draw(name: str, results: Path = RESULTS) -> Figure:
    """Return a figure by name; raise ``InputError`` if there is none.

    >>> draw("compression").axes[0].get_xlabel()
    'group size M'
    """
    from swis.gallery.registry import figures
    from swis.options.names import require_known

    require_known("figure", name, figures())
    return figures()[name](results)
