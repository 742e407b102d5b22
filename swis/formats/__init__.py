"""Weight formats, one file each: the levels of weights, their bits and cycles; imports no torch."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd


class _Formats(ModuleType):
    """This package as a callable: ``swis.formats()`` returns the table of formats."""

    def __call__(self) -> pd.DataFrame:
        """Return the table of known weight formats, one row each; see ``swis.formats.table``.

        >>> import swis
        >>> swis.formats().loc["swis", "class"]
        'Swis'
        """
        from swis.formats.table import table

        return table()


sys.modules[__name__].__class__ = _Formats
