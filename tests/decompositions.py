"""Codes, formats and decompositions that several tests use."""

import torch
from hypothesis import strategies as st

from swis.encoding.decompose import Decomposition, decompose
from swis.formats.registry import weight_format

METHODS = ("swis", "swis_c", "truncate", "round")


def decomposed(codes, method="swis", *settings, **named) -> Decomposition:
    return decompose(codes, weight_format(method, *settings, **named))


@st.composite
def cases(draw, methods=METHODS):
    bits = draw(st.integers(4, 8))
    top = 2**bits - 1
    filters = draw(st.integers(1, 3))
    weights = draw(st.integers(1, 10))
    rows = draw(
        st.lists(
            st.lists(st.integers(-top, top), min_size=weights, max_size=weights),
            min_size=filters,
            max_size=filters,
        )
    )
    return {
        "codes": torch.tensor(rows),
        "method": draw(st.sampled_from(methods)),
        "shifts": draw(st.integers(1, bits)),
        "group_size": draw(st.integers(1, 6)),
        "alpha": draw(st.sampled_from([0.0, 0.3, 1.0, 2.5, 3.0])),
        "magnitude_bits": bits,
    }


def grouped(rows: torch.Tensor, size: int) -> torch.Tensor:
    return torch.nn.functional.pad(rows, (0, -rows.shape[1] % size)).reshape(-1, size)
