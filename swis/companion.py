"""A network that runs beside another one, layer by layer."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import torch
from torch import Tensor, nn

from swis.apply import weight_layers


class Companion:
    """Runs a network over images in a thread that stops after every weight layer.

    ``wait`` returns the input and output of the layer it stopped at, ``go_on`` lets it run to the next one:
    until then nothing that follows can change them in place. ``close`` ends it wherever it is.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._reached: SimpleQueue[tuple[Tensor, Tensor] | BaseException] = SimpleQueue()
        self._may_go_on = threading.Semaphore(0)
        self._closed = False
        self._at: tuple[Tensor, Tensor] | None = None
        self._handles = [
            layer.register_forward_hook(self._stop_here) for layer in weight_layers(model).values()
        ]
        self._thread = threading.Thread(target=self._run, args=(model, images), daemon=True)
        self._thread.start()

    def wait(self) -> tuple[Tensor, Tensor]:
        """Return (input, output) of the layer that the network stands at; raise what it raised."""
        if self._at is None:
            reached = self._reached.get()
            if isinstance(reached, BaseException):
                raise reached
            self._at = reached
        return self._at

    def go_on(self) -> None:
        """Let the network run to the next layer."""
        self._at = None
        self._may_go_on.release()

    def close(self) -> None:
        """End the thread and leave the network as it was."""
        self._closed = True
        self._may_go_on.release()
        self._thread.join()
        for handle in self._handles:
            handle.remove()

    def _run(self, model: nn.Module, images: Tensor) -> None:
        try:
            with torch.inference_mode():
                model(images)
            self._reached.put(RuntimeError("the network has no further layer"))
        except BaseException as error:  # handed to whoever waits
            self._reached.put(error)

    def _stop_here(self, _: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        self._reached.put((inputs[0], output))
        self._may_go_on.acquire()
        if self._closed:
            raise InterruptedError("closed")
