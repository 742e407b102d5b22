"""A network run stops at every layer with all chunks, and changes made there take effect."""

import pytest
import torch
from torch import nn

from swis.calibration.layer_stepper import Lockstep
from swis.errors import InputError


@pytest.fixture(scope="module")
def images():
    return torch.rand(24, 1, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("size", [24, 7])
def test_the_run_stops_before_and_after_every_layer(images, size):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True), nn.Conv2d(2, 2, 3))
    with torch.no_grad():
        expected = model(images)
        run = Lockstep(model, images.split(size))
        assert run.enter() == "0"
        assert torch.equal(torch.cat(run.inputs), images)
        run.leave()
        assert (torch.cat(run.outputs) < 0).any()  # the ReLU in place has not run
        assert run.enter() == "2"
        assert (torch.cat(run.inputs) >= 0).all()
        model[2].weight.data *= 2
        model[2].bias.data *= 2
        run.leave()
        assert torch.allclose(torch.cat(run.outputs), 2 * expected, atol=1e-5)
        assert run.enter() is None
        run.close()
    assert not any(layer._forward_hooks or layer._forward_pre_hooks for layer in model)


def test_outputs_can_be_changed_in_place(images):
    model = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4), nn.Linear(4, 2))
    with torch.no_grad():
        run = Lockstep(model, images.split(5))
        run.enter()
        run.leave()
        for output in run.outputs:
            output.zero_()
        run.enter()
        assert not torch.cat(run.inputs).any()
        run.close()


def test_inputs_in_a_reused_buffer_are_copied():
    buffer = torch.zeros(2, 2)

    def into_buffer(_, inputs):
        return (buffer.copy_(inputs[0]),)

    model = nn.Sequential(nn.Linear(2, 2))
    model[0].register_forward_pre_hook(into_buffer)
    images = torch.arange(8.0).reshape(4, 2)
    with torch.no_grad():
        run = Lockstep(model, images.split(2), copies=True)
        run.enter()
        assert torch.equal(torch.cat(run.inputs), images)
        run.leave()
        assert torch.allclose(torch.cat(run.outputs), images @ model[0].weight.T + model[0].bias)
        run.close()


def test_a_convolution_without_a_batch_axis_is_refused():
    class OneByOne(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 1)

        def forward(self, x):
            return torch.stack([self.conv(image) for image in x])

    run = Lockstep(OneByOne(), torch.ones(2, 1, 3, 3).split(1))
    with torch.no_grad(), pytest.raises(InputError, match="layer conv gets an input without a batch axis"):
        run.enter()
    run.close()


def test_an_error_of_the_network_is_raised():
    run = Lockstep(nn.Sequential(nn.Linear(4, 2), nn.Linear(5, 2)), torch.ones(4, 4).split(2))
    with torch.no_grad():
        run.enter()
        run.leave()
        with pytest.raises(RuntimeError, match="shapes"):
            run.enter()
            run.leave()
    run.close()
