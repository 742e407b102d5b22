"""The 8-bit quantizer: codes, scales, clips, and channels of zeros."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from swis.encoding.quantizer import quantize


@st.composite
def weights(draw):
    shape = draw(st.sampled_from([(3, 4), (2, 3, 3, 3), (4, 1, 3, 3)]))
    seed = draw(st.integers(0, 2**16))
    spread = draw(st.sampled_from([1e-6, 0.02, 1.0, 300.0]))
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * spread


@settings(max_examples=60, deadline=None)
@given(weights(), st.integers(4, 8), st.sampled_from(["tensor", "channel"]))
def test_absmax_reaches_the_top_code_and_errs_by_half_a_step_at_most(weight, bits, granularity):
    q = quantize(weight, bits, granularity)
    top = 2**bits - 1
    assert int(q.codes.abs().max()) == top
    if granularity == "channel":
        assert torch.all(q.codes.flatten(1).abs().amax(1) == top)
    assert torch.all((q.dequantize() - weight).abs() <= q.scale * 0.5001)


@settings(max_examples=60, deadline=None)
@given(weights(), st.integers(2, 8), st.sampled_from(["tensor", "channel"]))
def test_the_mse_clip_is_never_worse_than_absmax(weight, bits, granularity):
    def squared_error(clip):
        return (quantize(weight, bits, granularity, clip).dequantize() - weight).double().square().sum()

    assert squared_error("mse") <= squared_error("absmax") * (1 + 1e-6)


def test_the_mse_clip_is_near_the_best_of_a_much_finer_search():
    weight = torch.randn(1, 500, generator=torch.Generator().manual_seed(0))
    weight[0, 0] = 9.0  # an outlier: clipping it lowers the error of all others
    scales = torch.linspace(0.01, 1.0, 5000)[:, None] * 9.0 / 7
    errors = ((weight / scales).round().clamp(-7, 7) * scales - weight).square().sum(1)
    chosen = quantize(weight, 3, clip="mse")
    error = (chosen.dequantize() - weight).square().sum()
    assert error <= 1.02 * errors.min()
    assert chosen.dequantize().max() < 5


def test_scales_are_per_channel_or_shared():
    weight = torch.tensor([[1.0, 0.5], [10.0, 5.0]])
    assert quantize(weight).scale.shape == (2, 1)
    per_tensor = quantize(weight, granularity="tensor")
    assert per_tensor.scale.numel() == 1
    assert per_tensor.codes.tolist() == [[13, 6], [127, 64]]  # 63.5 rounds to even


@pytest.mark.parametrize("granularity", ["tensor", "channel"])
@pytest.mark.parametrize("clip", ["absmax", "mse"])
def test_zeros_have_scale_one_and_no_nan(granularity, clip):
    q = quantize(torch.zeros(2, 3), granularity=granularity, clip=clip)
    assert torch.all(q.scale == 1)
    assert torch.all(q.codes == 0)
    assert torch.all(q.dequantize() == 0)


def test_a_channel_of_zeros_does_not_change_the_others():
    q = quantize(torch.tensor([[0.0, 0.0], [1.0, -1.0]]))
    assert q.codes.tolist() == [[0, 0], [127, -127]]
    assert q.scale.flatten().tolist()[0] == 1


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="granularity"):
        quantize(torch.ones(1, 1), granularity="group")
    with pytest.raises(ValueError, match="clip"):
        quantize(torch.ones(1, 1), clip="kl")
