"""Weight formats, a file for each: the levels that weights may take, their bits and cycles; no torch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class _Formats(ModuleType):
    """This package, which can be called: ``swis.formats()`` is the table of what is in it."""

    def __call__(self) -> pd.DataFrame:
        """Return the known weight formats: a row each, with its class, its settings and what it is.

        >>> import swis
        >>> swis.formats().loc["swis", "class"]
        'Swis'
        """
        from swis.formats.table import table

        return table()


sys.modules[__name__].__class__ = _Formats
