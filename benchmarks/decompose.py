"""Speed and memory of the decomposition: python benchmarks/decompose.py [MILLION_WEIGHTS]

The tensor is Gaussian and is quantized to 7 magnitude bits with a scale per filter. It has 138 million
weights by default, like VGG-16. Slow cases get only a part of it. Every time is the best of three. "MB" is
the memory that a call adds to the resident set at its peak, including its output (Linux only).
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import torch

from swis.coding.bitstream import CODINGS, Layout, pack, unpack
from swis.encoding.decompose import (
    Decomposition,
    _nearest_in_torch,
    decompose,
)
from swis.encoding.quantizer import quantize
from swis.encoding.search import simd
from swis.formats.registry import weight_format

ROUNDS = 3
FILTER_WEIGHTS = 4608


def main(million_weights: float = 138.0) -> None:
    """Measure and print the table."""
    filters = round(million_weights * 1e6 / FILTER_WEIGHTS)
    weight = torch.randn(filters, FILTER_WEIGHTS, generator=torch.Generator().manual_seed(0))
    codes = quantize(weight).codes
    copy = torch.empty_like(codes)
    threads = torch.get_num_threads()
    name = f"swis M=4 N=4, {'AVX-512' if simd.AVAILABLE else '16-bit lanes'}"
    cases: list[tuple[str, float, Callable[[torch.Tensor], object]]] = [
        ("memcpy of the codes", 1, lambda rows: copy[: len(rows)].copy_(rows)),
        ("4-bit round to nearest, torch", 1, lambda rows: quantize(weight[: len(rows)], 3)),
        ("straightforward torch, M=4 N=4", 0.02, _torch),
        ("NumPy, M=4 N=4", 0.005, _numpy),
        (name, 1, lambda rows: decompose(rows, weight_format("swis", 4, 4))),
        ("  the same, one thread", 0.3, _one_thread),
        ("  without AVX-512: 16-bit lanes", 0.3, _lanes),
        ("  alpha=0.5: in 64 bits", 0.1, lambda rows: decompose(rows, weight_format("swis", 4, 4, 0.5))),
    ]
    for group_size in (2, 4, 8, 16, 32):
        for shifts in (2, 3, 4):
            cases.append(
                (
                    f"swis M={group_size} N={shifts}",
                    0.3,
                    lambda rows, m=group_size, n=shifts: decompose(rows, weight_format("swis", n, m)),
                )
            )
    for shifts in (2, 3, 4):
        fmt = weight_format("swis_signed", shifts, 4)
        cases.append((f"swis_signed M=4 N={shifts}", 0.3, lambda rows, f=fmt: decompose(rows, f)))
    joint = [("swis", 4, 0.1), ("swis", 8, 0.02), ("swis", 16, 0.01), ("swis_signed", 4, 0.01)]
    for (method, group_size, part), shifts in product(joint, (2, 3, 4)):
        fmt = weight_format(method, shifts, group_size, selection="joint")
        name = f"{method} joint M={group_size} N={shifts}"
        cases.append((name, part, lambda rows, f=fmt: decompose(rows, f)))
    for method, coding in product(("swis", "swis_signed"), CODINGS):
        fmt = weight_format(method, 4, 4)
        whole = decompose(codes[: max(16, round(0.1 * filters))], fmt)
        layout = Layout(fmt, len(whole.codes), FILTER_WEIGHTS, coding)
        packed, _ = pack(whole.codes.numpy(), whole.shift_sets.numpy(), layout)
        name = f"{method} M=4 N=4, {coding}"
        cases += [
            (f"pack {name}", 0.1, lambda rows, d=whole, y=layout: _pack(rows, d, y)),
            (f"unpack {name}", 0.1, lambda _, p=packed, y=layout: unpack(p, y)),
        ]
    print(f"{codes.numel() / 1e6:.0f} million weights, {threads} threads, torch {torch.__version__}")
    print(
        f"{'case':36}{'Mweights/s':>12}{'of memcpy':>11}{'x torch':>10}{'x NumPy':>10}{'x 4-bit':>9}{'MB':>7}"
    )
    speeds: dict[str, float] = {}
    for case, part, run in cases:
        rows = codes[: max(16, round(part * filters))]
        speeds[case], megabytes = _measure(run, rows)
        print(_line(case, speeds, megabytes), flush=True)


def _line(case: str, speeds: dict[str, float], megabytes: float) -> str:
    references = list(speeds)[:4]
    copied, four_bit, slow, numpy = (speeds.get(name) for name in references + [None] * (4 - len(references)))
    speed = speeds[case]
    ratios = "".join(
        f"{speed / other:>{width}.{digits}f}" if other else " " * width
        for other, width, digits in ((copied, 11, 3), (slow, 10, 1), (numpy, 10, 1), (four_bit, 9, 2))
    )
    return f"{case:36}{speed / 1e6:>12.1f}{ratios}{megabytes:>7.0f}"


def _measure(run: Callable[[torch.Tensor], object], rows: torch.Tensor) -> tuple[float, float]:
    run(rows[:64])  # so that compilation is not measured
    times = []
    before = _memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak of the resident set
    for _ in range(ROUNDS):
        start = time.perf_counter()
        run(rows)
        times.append(time.perf_counter() - start)
    return rows.numel() / min(times), _memory("VmHWM") - before


def _memory(key: str) -> float:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key):
            return int(line.split()[1]) / 1024
    raise KeyError(key)


def _tables() -> torch.Tensor:
    return torch.from_numpy(weight_format("swis", 4).level_table())


def _torch(rows: torch.Tensor) -> None:
    _nearest_in_torch(rows, _tables(), torch.arange(35, dtype=torch.uint8), 4, 1.0)


def _numpy(rows: torch.Tensor) -> np.ndarray:
    groups = rows.numpy().reshape(-1, 4).astype(np.int32)
    magnitude, sign = np.abs(groups), np.sign(groups)
    errors = [table[magnitude] * sign - groups for table in _tables().numpy().astype(np.int32)]
    metrics = np.stack([(e * e).sum(1) + e.sum(1) ** 2 for e in errors])
    return np.take_along_axis(np.stack(errors), metrics.argmin(0)[None, :, None], 0)[0] + groups


def _pack(rows: torch.Tensor, whole: Decomposition, layout: Layout) -> None:
    part = replace(layout, filters=len(rows))
    pack(whole.codes[: len(rows)].numpy(), whole.shift_sets[: len(rows)].numpy(), part)


def _one_thread(rows: torch.Tensor) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    decompose(rows, weight_format("swis", 4, 4))
    torch.set_num_threads(threads)


def _lanes(rows: torch.Tensor) -> None:
    available, simd.AVAILABLE = simd.AVAILABLE, False
    decompose(rows, weight_format("swis", 4, 4))
    simd.AVAILABLE = available


if __name__ == "__main__":
    main(*(float(argument) for argument in sys.argv[1:]))
