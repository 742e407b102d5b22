"""The arguments of a network's call: one or more tensors, by position and by name, for a batch of inputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Number
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from swis.errors import InputError


@dataclass(frozen=True)
class Inputs:
    """The arguments of a network's call, by position and by name.

    A tensor with the same length as the first one has the inputs (images, sentences) along its first axis.
    All other arguments are the same for every input. Raises ``InputError`` if there is no such tensor.

    >>> inputs = Inputs.of({"x": torch.ones(4, 2), "scale": 2.0})
    >>> len(inputs), [len(part) for part in inputs.split(3)]
    (4, [3, 1])
    """

    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.tensors or self.tensors[0].ndim == 0:
            raise InputError("a network needs at least one tensor, with the inputs along its first axis")

    @classmethod
    def of(cls, value: Any) -> Inputs:
        """Return inputs from a tensor, a tuple of arguments, or a dictionary of named arguments.

        Raises ``InputError`` for anything else.
        """
        if isinstance(value, Inputs):
            return value
        if isinstance(value, Tensor):
            return cls((value,))
        if isinstance(value, Mapping):
            return cls((), dict(value))
        if isinstance(value, tuple | list):
            return cls(tuple(value))
        raise InputError(
            f"inputs must be a tensor, or a tuple or dictionary of tensors, not {type(value).__name__}"
        )

    @classmethod
    def cat(cls, parts: Sequence[Inputs]) -> Inputs:
        """Return the concatenation of several batches with the same arguments.

        >>> len(Inputs.cat([Inputs.of(torch.ones(2, 3)), Inputs.of(torch.ones(1, 3))]))
        3
        """
        first = parts[0]
        if len(parts) == 1:
            return first
        columns = zip(*(part.tensors for part in parts), strict=True)
        joined = iter([torch.cat(column) if first._is_batch(column[0]) else column[0] for column in columns])
        return first.map(lambda _: next(joined))

    @property
    def tensors(self) -> list[Tensor]:
        """The tensors among the arguments: first those by position, then those by name."""
        return [value for value in (*self.args, *self.kwargs.values()) if isinstance(value, Tensor)]

    def __len__(self) -> int:
        return len(self.tensors[0])

    def map(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """Return the inputs with ``change`` applied to every tensor."""

        def of(value: Any) -> Any:
            return change(value) if isinstance(value, Tensor) else value

        return Inputs(tuple(map(of, self.args)), {name: of(value) for name, value in self.kwargs.items()})

    def __getitem__(self, some: slice) -> Inputs:
        return self.map(lambda value: value[some] if self._is_batch(value) else value)

    def _is_batch(self, value: Tensor) -> bool:
        return value.ndim > 0 and len(value) == len(self)

    def split(self, size: int) -> list[Inputs]:
        """Return the inputs in batches of at most ``size``."""
        return [self[start : start + size] for start in range(0, len(self), size)]

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> Inputs:
        """Return the inputs on a device; floating-point tensors are converted to ``dtype``."""
        return self.map(lambda value: value.to(device, dtype if value.is_floating_point() else None))

    def float(self) -> Inputs:
        """Return the inputs with all floating-point tensors in float32."""
        return self.map(lambda value: value.float() if value.is_floating_point() else value)

    def described(self) -> dict[str, Any]:
        """Return a JSON description of one input; tensors are described by type and shape.

        Raises ``InputError`` for an argument that JSON cannot store.

        >>> Inputs.of({"ids": torch.zeros(4, 7, dtype=torch.int64)}).described()["kwargs"]
        {'ids': {'dtype': 'int64', 'shape': [1, 7]}}
        """

        def of(value: Any) -> Any:
            if isinstance(value, Tensor):
                return {"dtype": str(value.dtype).removeprefix("torch."), "shape": list(value.shape)}
            if value is None or isinstance(value, bool | int | float | str):
                return value
            raise InputError(f"an argument of type {type(value).__name__} cannot be stored in a file")

        one = self[:1]
        named = {name: of(value) for name, value in one.kwargs.items()}
        return {"args": [of(value) for value in one.args], "kwargs": named}

    @classmethod
    def of_description(cls, description: Mapping[str, Any]) -> Inputs:
        """Return inputs that fit a description of ``described``: noise, or ones for integer types."""
        generator = torch.Generator().manual_seed(0)

        def of(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            dtype = getattr(torch, value["dtype"])
            if not dtype.is_floating_point:
                return torch.ones(value["shape"], dtype=dtype)  # zeros in a mask would hide all inputs
            return torch.randn(value["shape"], generator=generator).to(dtype)

        named = {name: of(value) for name, value in description["kwargs"].items()}
        return cls(tuple(of(value) for value in description["args"]), named)

    def run(self, model: nn.Module) -> Any:
        """Call a network with copies of these inputs, which it may change, and return its output."""
        mine = self.map(torch.clone)
        return model(*mine.args, **mine.kwargs)


# The size [C, H, W] of an image; or inputs, for a network that takes something else.
Example = Inputs | Sequence[int]


def zeros(example: Example, like: Tensor) -> Inputs:
    """Return one input: an image of zeros, or the first of the inputs; with ``like``'s device and type."""
    if isinstance(example, Inputs):
        return example[:1].to(like.device, like.dtype)
    return Inputs((torch.zeros(1, *example, device=like.device, dtype=like.dtype),))


def probe(example: Example, device: torch.device, dtype: torch.dtype) -> Inputs:
    """Return at most two inputs: images of noise, or the first two of the inputs."""
    if isinstance(example, Inputs):
        return example[:2].to(device, dtype)
    noise = torch.randn(2, *example, generator=torch.Generator().manual_seed(0))
    return Inputs((noise.to(device).to(dtype),))


def outputs_of(value: Any) -> list[Tensor]:
    """Return the tensors in a network's output, in any nesting; raise ``InputError`` if there are none.

    >>> outputs_of({"logits": torch.ones(2), "states": (torch.zeros(3),)})
    [tensor([1., 1.]), tensor([0., 0., 0.])]
    """
    found = [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]
    if not found:
        raise InputError(f"the network returns {type(value).__name__} without a tensor")
    return found


def logits_of(value: Any) -> Tensor:
    """Return the logits in a network's output: the entry named "logits", or the first tensor.

    >>> logits_of({"loss": torch.tensor(1.0), "logits": torch.ones(1, 2)})
    tensor([[1., 1.]])
    """
    if isinstance(value, Tensor):
        return value
    named = value.get("logits") if isinstance(value, Mapping) else getattr(value, "logits", None)
    return named if isinstance(named, Tensor) else outputs_of(value)[0]


def class_logits(output: Any) -> Tensor:
    """Return the logits [..., classes] in a network's output; raise ``InputError`` for another shape."""
    logits = logits_of(output)
    if logits.ndim not in (2, 3) or logits.shape[-1] < 2:
        raise InputError(
            f"logits must be [inputs, classes] or [inputs, tokens, classes] with at least two classes, not "
            f"{list(logits.shape)}"
        )
    return logits


def close(got: Any, expected: Any, tolerance: float, equal_nan: bool = False) -> bool:
    """Return whether two outputs agree within ``tolerance`` x the largest finite value of each tensor."""

    def alike(one: Tensor, other: Tensor) -> bool:
        finite = other[other.isfinite()].abs()
        largest = float(finite.max()) if finite.numel() else 0.0
        return one.shape == other.shape and torch.allclose(
            one, other, rtol=0, atol=tolerance * largest, equal_nan=equal_nan
        )

    return all(map(alike, outputs_of(got), outputs_of(expected)))


def inputs_in(batch: Any) -> Inputs:
    """Return the inputs of a batch of a data set, without its labels.

    >>> len(inputs_in((torch.ones(2, 3), torch.tensor([0, 1]))).tensors)
    1
    """
    return labelled(batch)[0]


_LABELS = ("labels", "label", "target", "targets")


def labelled(batch: Any) -> tuple[Inputs, Tensor | None]:
    """Return the inputs and the labels of a batch of a data set; the labels are None if it has none.

    A pair is (inputs, labels), with labels [inputs]. A dictionary can have an entry of labels. A batch of two
    arguments and labels is ((one, other), labels). Raises ``InputError`` for a pair without valid labels.

    >>> labelled((torch.ones(2, 3), torch.tensor([0, 1])))[1].tolist()
    [0, 1]
    """
    if isinstance(batch, tuple | list) and len(batch) == 2:
        if batch[1] is None:
            return Inputs.of(batch[0]), None
        inputs, labels = Inputs.of(batch[0]), torch.as_tensor(batch[1])
        if labels.shape != (len(inputs),):
            raise InputError(
                f"a pair must be inputs and labels of shape [{len(inputs)}], not {list(labels.shape)}; give "
                "two arguments as a dictionary, or as ((one, other), labels)"
            )
        return inputs, labels
    if isinstance(batch, Mapping):
        name = next((name for name in _LABELS if name in batch), None)
        inputs = Inputs((), {key: value for key, value in batch.items() if key != name})
        if name is None:
            return inputs, None
        labels = torch.as_tensor(batch[name])
        if labels.shape != (len(inputs),):
            raise InputError(f"{name} must have the shape [{len(inputs)}], not {list(labels.shape)}")
        return inputs, labels
    if isinstance(batch, tuple | list) and len(batch) == 1:
        return Inputs.of(batch[0]), None
    return Inputs.of(batch), None


def is_pair(value: Any) -> bool:
    """Return whether a value is a pair of inputs, a tensor, and of labels: numbers [inputs], or None.

    >>> is_pair([torch.ones(3, 2), [0, 1, 1]]), is_pair([torch.ones(3, 2), torch.ones(3, 2)])
    (True, False)
    """
    if not isinstance(value, tuple | list) or len(value) != 2 or not isinstance(value[0], Tensor):
        return False
    if isinstance(value[1], Tensor):
        return value[0].ndim > 1 and value[1].ndim == 1
    labels = value[1]
    return labels is None or (isinstance(labels, Iterable) and all(isinstance(one, Number) for one in labels))


def kind_of(value: Any) -> str:
    """Return what a value is that has no batches; of a data set, also what would have them.

    >>> kind_of(3)
    'int'
    """
    hint = "; give a DataLoader of it" if hasattr(value, "__getitem__") else ""
    return f"{type(value).__name__}{hint}"


def gathered(calibration: Any, most: int | None = None) -> Inputs:
    """Return at most ``most`` inputs from a tensor, from inputs, or from an iterable of batches.

    A tuple of tensors is one batch: the arguments of a call, or inputs and labels. Raises ``InputError`` if
    there are no inputs.

    >>> len(gathered([torch.ones(4, 3), torch.ones(4, 3)], most=6))
    6
    """
    if is_pair(calibration):
        calibration = calibration[0]
    elif isinstance(calibration, tuple) and all(isinstance(part, Tensor) for part in calibration):
        calibration = Inputs(calibration)
    if isinstance(calibration, Tensor | Inputs | Mapping):
        return _not_empty(Inputs.of(calibration))[:most].to("cpu").float()
    if not isinstance(calibration, Iterable):
        raise InputError(
            f"calibration must be a tensor or an iterable of batches, not {kind_of(calibration)}"
        )
    parts, count = [], 0
    for batch in calibration:
        parts.append(inputs_in(batch))
        count += len(parts[-1])
        if most is not None and count >= most:
            break
    if not parts:
        raise InputError("calibration has no batches")
    try:
        return _not_empty(Inputs.cat(parts))[:most].to("cpu").float()
    except RuntimeError as error:  # torch's message has the sizes
        raise InputError(f"the batches of calibration do not fit together: {error}") from error


def _not_empty(inputs: Inputs) -> Inputs:
    if len(inputs) == 0:
        raise InputError("calibration has no inputs")
    return inputs
