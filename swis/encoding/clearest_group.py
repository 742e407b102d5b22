"""The group of a layer that shows best what a shared shift set is."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from swis.encoding.decompose import decompose, to_filters
from swis.encoding.quantizer import quantize
from swis.formats.weight_format import WeightFormat


def clearest_group(filters: Tensor, fmt: WeightFormat) -> tuple[int, int]:
    """Return the filter and the group, counted within it, that show best what a shift set does.

    ``filters`` are [out, in, kernel] or [out, in]. The weights of the group use the set in many different
    ways, each with powers of two that its 8-bit code has; of all such groups it is the one with large weights
    and small errors. Most groups of a layer are less clear, and have larger errors.

    >>> from swis.formats.swis import Swis
    >>> clearest_group(torch.tensor([[1.27, 1.27, 1.27, 1.27, 0.64, 0.80, 0.96, 0.33]]), Swis(shifts=3))
    (0, 1)
    """
    codes = to_filters(quantize(filters, fmt.magnitude_bits, fmt.granularity, fmt.clip).codes)
    kept = decompose(codes, fmt).codes
    exact, near = (_groups(each, fmt.group_size) for each in (codes, kept))
    masks = near.sort(-1).values
    different = (masks.diff(dim=-1, prepend=torch.zeros_like(masks[..., :1])) > 0).sum(-1)
    in_code = ((near & ~exact) == 0).all(-1)
    clear = exact.min(-1).values - 2 * (exact - near).abs().sum(-1)
    # each rule decides where those before it leave several groups
    clear = torch.where(in_code, clear, clear.min() - 1)
    clear = torch.where(different == different.max(), clear, clear.min() - 1)
    return divmod(int(clear.argmax()), clear.shape[1])


def _groups(codes: Tensor, group_size: int) -> Tensor:
    """Return the magnitudes of codes [filters, weights] as groups, int32 [filters, groups, group_size]."""
    magnitudes = codes.int().abs()
    return pad(magnitudes, (0, -magnitudes.shape[1] % group_size)).unflatten(1, (-1, group_size))
