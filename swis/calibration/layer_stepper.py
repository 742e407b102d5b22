"""A network that runs over many images a few at a time, and stops at every weight layer with all of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from swis.errors import InputError
from swis.networks.inputs import Inputs
from swis.networks.layers import axes_of, weight_layers


class Lockstep:
    """Runs a network over chunks of images, layer by layer, all chunks through one before the next.

    Between two layers one chunk is worked on at a time, so that no more is kept of all images than what the
    network itself still needs. ``enter`` takes them to a layer and ``leave`` through it; before that its
    weight may change, after that its ``outputs`` may, in place. ``copies`` is for a network whose hooks hand
    its layers inputs that do not last. Use it within ``torch.no_grad()``, and ``close`` it.

    >>> from torch import no_grad, ones
    >>> run = Lockstep(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), ones(5, 2).split(2))
    >>> with no_grad():
    ...     run.enter(), run.leave(), run.enter(), [len(inputs) for inputs in run.inputs]
    ('0', None, '2', [2, 2, 1])
    >>> run.close()
    """

    def __init__(self, model: nn.Module, chunks: Sequence[Tensor | Inputs], copies: bool = False) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[Tensor] = []
        self._copies = copies
        self._start = [Inputs.of(chunk) for chunk in chunks]
        self._runs = [greenlet(partial(_run, model)) for _ in chunks]
        self._handles = []
        for name, layer in weight_layers(model).items():
            self._handles.append(layer.register_forward_pre_hook(partial(self._before, name)))
            self._handles.append(layer.register_forward_hook(self._behind))

    def enter(self) -> str | None:
        """Take all chunks to the next layer, ``inputs`` of which are known then, and return its name.

        At the end it returns None. Raises ``RuntimeError`` if some of them go elsewhere, and whatever the
        network raises.
        """
        self.inputs, self.outputs = [], []
        images, self._start = self._start, []
        if images:
            reached = {run.switch(chunk) for run, chunk in zip(self._runs, images, strict=True)}
        else:
            reached = {run.switch() for run in self._runs}
        if all(run.dead for run in self._runs):
            return None
        if len(reached) > 1 or any(run.dead for run in self._runs):
            raise RuntimeError("images reach different layers: the network looks at its images")
        return reached.pop()

    def leave(self) -> None:
        """Take all chunks through the layer that they stand before; ``outputs`` are known then."""
        for run in self._runs:
            run.switch()

    def close(self) -> None:
        """End the runs wherever they are, and leave the network as it was."""
        for run in self._runs:
            run.throw()
        for handle in self._handles:
            handle.remove()

    def _before(self, name: str, layer: nn.Module, inputs: tuple) -> tuple:
        if axes_of(layer) and inputs[0].ndim != axes_of(layer) + 2:
            raise InputError(f"layer {name} is called without an axis of images; it cannot be calibrated")
        kept = inputs[0].clone() if self._copies else inputs[0]
        self.inputs.append(kept)
        getcurrent().parent.switch(name)
        return (kept, *inputs[1:])

    def _behind(self, _: nn.Module, __: tuple, output: Tensor) -> None:
        self.outputs.append(output)
        getcurrent().parent.switch()


def _run(model: nn.Module, inputs: Inputs) -> None:
    inputs.run(model)  # what it gives back is of no interest
