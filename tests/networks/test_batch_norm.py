"""Folding of batch normalisation: the weights change, the function does not."""

import pytest
import torch
from torch import nn

from swis.errors import InputError
from swis.networks.batch_norm import fold_batch_norm, fused


def test_folding_keeps_the_function_and_removes_the_normalisation(model):
    folded = fold_batch_norm(model, (1, 32, 32))
    images = torch.randn(4, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        torch.testing.assert_close(folded(images), model(images), rtol=1e-3, atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert not torch.equal(folded.conv_stem.weight, model.conv_stem.weight)


def test_folding_with_a_bias_and_a_plain_batch_norm():
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(2, 4, 3, bias=True), nn.BatchNorm2d(4), nn.ReLU()).eval()
    plain[1].running_mean.normal_()
    plain[1].running_var.uniform_(0.5, 2)
    plain[1].weight.data.uniform_(0.5, 2)
    images = torch.randn(2, 2, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(fold_batch_norm(plain, (2, 8, 8))(images), plain(images))


def test_a_convolution_used_twice_is_not_folded():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)
            self.norm.running_var.fill_(9)

        def forward(self, x):
            y = self.convolution(x)
            return self.norm(y) + 1e-3 * y

    with pytest.raises(InputError, match="fold_bn"):
        fold_batch_norm(Twice().eval(), (1, 4, 4))
    twice = Twice().eval()
    same = fused(twice, (1, 4, 4))
    assert same is not twice
    assert isinstance(same.norm, nn.BatchNorm2d)
