"""Storage by formula and as packed, and the share of lossless groups, are compared with plain Python."""

import math
from itertools import combinations

import pytest
import torch
from conftest import ROOT

from swis.coding.bitstream import Layout, pack
from swis.encoding.decompose import decompose
from swis.encoding.encode import encode
from swis.errors import InputError
from swis.experiments.config import load
from swis.experiments.tables import has_table
from swis.formats.registry import weight_format
from swis.formats.uniform import Uniform
from swis.formats.uniform_group import UniformGroup
from swis.formats.weight_format import CODINGS
from swis.packing.storage import group_unions, storage_table


@pytest.fixture(scope="module")
def layers() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = {"a": (16, 48), "b": (8, 9)}
    return {
        # most codes are small so that some groups are lossless
        name: (torch.randn(shape, generator=generator) * 6).round().clamp(-127, 127).to(torch.int8)
        for name, shape in shapes.items()
    }


@pytest.fixture(scope="module")
def table(layers):
    return storage_table(layers, 7, group_sizes=(2, 4), shifts=(1, 2, 3))


def groups_of(codes: torch.Tensor, size: int) -> list[list[int]]:
    return [row[at : at + size] for row in codes.tolist() for at in range(0, len(row), size)]


def lossless(group: list[int], sets: list[tuple[int, ...]]) -> bool:
    return any(all(abs(code) & ~sum(2**s for s in chosen) == 0 for code in group) for chosen in sets)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("shifts", [1, 2, 3])
def test_lossless_fractions_follow_their_definition(layers, table, size, shifts):
    sets = {
        "swis": list(combinations(range(7), shifts)),
        "swis_c": [tuple(range(low, low + shifts)) for low in range(8 - shifts)],
    }
    groups = {name: groups_of(codes, size) for name, codes in layers.items()}
    count = sum(len(some) for some in groups.values())
    found = (
        table[(table["group_size"] == size) & (table["bits"] == shifts)].groupby("method")["lossless"].first()
    )
    for method, candidates in sets.items():
        same = sum(lossless(group, candidates) for some in groups.values() for group in some)
        assert found[method] == pytest.approx(same / count)
    common = sum(
        max(sum(lossless(group, [chosen]) for group in some) for chosen in sets["swis"])
        for some in groups.values()
    )
    assert found["layer"] == pytest.approx(common / count)
    assert found["layer"] <= found["swis"]
    assert found["swis_c"] <= found["swis"]


def test_the_sqnr_covers_all_codes_and_grows_with_the_shifts(layers, table):
    some = table.query("method == 'swis' and group_size == 4 and coding == 'plain'").set_index("bits")[
        "sqnr_db"
    ]
    signal = noise = 0.0
    for codes in layers.values():
        signal += (codes.double() ** 2).sum().item()
        noise += (
            ((decompose(codes, weight_format("swis", 2, 4)).codes.double() - codes.double()) ** 2)
            .sum()
            .item()
        )
    assert some[2] == pytest.approx(10 * math.log10(signal / noise))
    assert some.is_monotonic_increasing


def test_decomposition_does_not_change_lossless_groups(layers, table):
    unchanged = total = 0
    for codes in layers.values():
        result = decompose(codes, weight_format("swis", 2, 4))
        same = [a == b for a, b in zip(groups_of(codes, 4), groups_of(result.codes, 4), strict=True)]
        unchanged, total = unchanged + sum(same), total + len(same)
    row = table.query("method == 'swis' and group_size == 4 and bits == 2 and coding == 'plain'")
    assert row["lossless"].item() == pytest.approx(unchanged / total)


def test_plain_bits_equal_the_formula_and_compact_bits_are_fewer(table):
    table = table[table["method"].ne("swis_signed")]  # whose digits have no separate signs in plain coding
    plain = table[table["coding"] == "plain"].set_index(["method", "group_size", "bits"])
    compact = table[table["coding"] == "compact"].set_index(["method", "group_size", "bits"])
    coded = plain["weight_bits"] - plain["metadata_bits"]
    assert coded.to_list() == pytest.approx(plain["formula_bits"].to_list())
    assert (plain["compression_vs_float32"] == 4 * plain["compression_vs_int8"]).all()
    assert (compact["shift_bits"] <= plain["shift_bits"]).all()
    assert (compact["sign_bits"] < plain["sign_bits"]).all()
    assert (compact["mask_bits"] <= plain["mask_bits"]).all()
    assert (compact["compression_vs_int8"] == 8 / compact["weight_bits"]).all()


def test_the_rivals_are_in_the_table_at_their_own_groups_with_the_bits_of_their_files(layers):
    table = storage_table(layers, 7, group_sizes=(1, 32), shifts=(2,))
    found = table.set_index(["method", "group_size", "coding"])
    count = sum(codes.numel() for codes in layers.values())
    for size, fmt in ((1, Uniform(2)), (32, UniformGroup(2, scale_group=32))):
        mine = found.loc[fmt.name]
        assert set(mine.index) == {(size, coding) for coding in CODINGS}
        bits, noise = dict.fromkeys(CODINGS, 0), 0.0
        for codes in layers.values():
            if fmt.on_codes:
                found_here = decompose(codes, fmt)
                stored, sets, values = found_here.codes, found_here.shift_sets.numpy(), found_here.codes
            else:
                encoded = encode(codes.float(), fmt)
                stored, sets, values = encoded.codes, None, encoded.weight()
            for coding in CODINGS:
                bits[coding] += 8 * len(pack(stored.numpy(), sets, Layout(fmt, *codes.shape, coding))[0])
            noise += float((values - codes).double().square().sum())
        for coding in CODINGS:
            assert mine.loc[(size, coding), "weight_bits"] * count == pytest.approx(bits[coding])
        signal = sum(float(codes.double().square().sum()) for codes in layers.values())
        assert mine["sqnr_db"].unique() == pytest.approx(10 * math.log10(signal / noise))


def test_groups_of_sixteen_with_one_shift_have_the_claimed_compression():
    codes = torch.randint(-127, 128, (64, 64), generator=torch.Generator().manual_seed(0))
    table = storage_table({"layer": codes}, 7, group_sizes=(16,), shifts=(1,))
    row = table.query("method == 'swis' and coding == 'plain'")
    assert row["weight_bits"].item() * 16 == 35
    assert row["compression_vs_int8"].item() == pytest.approx(3.66, abs=0.005)


def test_bits_of_groups_with_different_precisions(layers, table):
    bits = 0
    for codes in layers.values():
        for group in groups_of(codes, 4):
            needed = max(abs(code) for code in group).bit_length()
            bits += 3 + (4 * (1 + needed) if needed else 0)
    row = table.query("method == 'dpred' and group_size == 4")
    assert row["formula_bits"].item() == pytest.approx(bits / sum(c.numel() for c in layers.values()))


def test_bit_positions_of_a_padded_group():
    assert group_unions(torch.tensor([[-128 + 1, 2, 4]]), 2).tolist() == [127, 4]


@pytest.mark.parametrize("model", ["mobilenet_v2", "efficientnet_lite0"])
def test_a_table_stays_valid_when_options_are_added(model):
    """Options that are newer than a table have their default in its configuration."""
    path = ROOT / "results" / "storage" / f"{model}.parquet"
    common = ["experiment=storage", f"model={model}", f"out={path}"]
    assert has_table(load(common))
    with pytest.raises(InputError, match="exists already"):
        has_table(load([*common, "clip=mse"]))


def test_weights_outside_the_layers_are_stored_as_float(layers, table):
    whole = sum(codes.numel() for codes in layers.values())
    found = storage_table(layers, 7, group_sizes=(2, 4), shifts=(1, 2, 3), float_weights=3 * whole)
    for name in ("formula_bits", "weight_bits"):
        assert found[name].to_list() == pytest.approx(((table[name] + 3 * 32) / 4).to_list(), nan_ok=True)
    parts = ["sign_bits", "mask_bits", "shift_bits", "metadata_bits", "float_bits"]
    packed = found.dropna(subset="weight_bits")
    assert packed[parts].sum(axis=1).to_list() == pytest.approx(packed["weight_bits"].to_list())
    assert packed["compression_vs_int8"].to_list() == pytest.approx((8 / packed["weight_bits"]).to_list())
    assert found["lossless"].equals(table["lossless"])
