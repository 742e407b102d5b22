"""A network run that stops at every weight layer, with a large set of images split into chunks."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from greenlet import getcurrent, greenlet
from torch import Tensor, nn

from swis.errors import InputError
from swis.networks.inputs import Inputs
from swis.networks.layers import axes_of, weight_layers


class Lockstep:
    """Runs a network over chunks of images, layer by layer: all chunks pass a layer before the next one.

    ``enter`` runs all chunks up to the next layer, and ``leave`` runs them through it. Between the two the
    layer's weight may change; after ``leave`` its ``outputs`` may change in place. One chunk runs at a time
    between layers, so that only the tensors that the network still needs are kept. ``copies``: copy the
    inputs of layers, for a network whose hooks reuse a buffer. Call it within ``torch.no_grad()``, and call
    ``close`` at the end.

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
        """Run all chunks up to the next layer, set ``inputs``, and return the layer's name; None at the end.

        Raises ``InputError`` if the chunks reach different layers, and any error of the network.
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
            raise InputError(
                "the network calls different layers for different images, so it cannot be calibrated"
            )
        return reached.pop()

    def leave(self) -> None:
        """Run all chunks through the present layer, and set ``outputs``."""
        for run in self._runs:
            run.switch()

    def close(self) -> None:
        """Stop all runs and remove the hooks from the network."""
        for run in self._runs:
            run.throw()
        for handle in self._handles:
            handle.remove()

    def _before(self, name: str, layer: nn.Module, inputs: tuple) -> tuple:
        if axes_of(layer) and inputs[0].ndim != axes_of(layer) + 2:
            raise InputError(f"layer {name} gets an input without a batch axis, so it cannot be calibrated")
        kept = inputs[0].clone() if self._copies else inputs[0]
        self.inputs.append(kept)
        getcurrent().parent.switch(name)
        return (kept, *inputs[1:])

    def _behind(self, _: nn.Module, __: tuple, output: Tensor) -> None:
        self.outputs.append(output)
        getcurrent().parent.switch()


def _run(model: nn.Module, inputs: Inputs) -> None:
    inputs.run(model)  # without a return value, which would keep the network's output in memory
