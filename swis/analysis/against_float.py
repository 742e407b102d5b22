"""Accuracies beside the float network's, and how sure the difference is."""

from __future__ import annotations

import pandas as pd

from swis.evaluation.paired_tests import compare
from swis.formats.float32 import Float


def against_float(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of one network, but the float one, with ``loss`` [points], ``low`` and ``high``.

    ``loss`` is how far a row is below the float row; ``low`` and ``high`` are the float row's top-1 less the
    ends of its 95 % interval, image by image (``swis.evaluation.paired_tests``): they show how sure the
    difference is, and not the absolute accuracy.

    >>> from swis.evaluation.paired_tests import pack_correct
    >>> right = pd.Series(range(100)) < 90
    >>> rows = pd.DataFrame({"method": ["float", "swis"], "top1": [90.0, 82.0]})
    >>> rows["correct"] = [pack_correct(right), pack_correct(right & (right.index >= 8))]
    >>> against_float(rows)[["loss", "low", "high"]].round(1).values.tolist()
    [[8.0, 75.0, 86.0]]
    """
    is_float = rows["method"] == Float.name
    reference, others = rows[is_float].squeeze(axis=0), rows[~is_float]
    found = [compare(reference["correct"], correct) for correct in others["correct"]]
    top1 = reference["top1"]
    return others.assign(
        loss=[each.difference for each in found],
        low=[top1 - each.high for each in found],
        high=[top1 - each.low for each in found],
    )
