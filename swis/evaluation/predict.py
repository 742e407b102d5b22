"""Running a network over images, and computing the accuracy of its logits."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import torch
from torch import Tensor, nn

from swis.encoding.metrics import kl_divergence, sqnr_db
from swis.errors import InputError
from swis.evaluation.paired_tests import pack_correct
from swis.networks.computed_weights import twin
from swis.networks.inputs import Inputs, labelled, logits_of
from swis.results.intervals import wilson_interval
from swis.runtime.progress import tqdm


@dataclass(frozen=True)
class Prediction:
    """Logits [images, classes] float32 and labels [images] (or None), on the CPU, and the duration [s]."""

    logits: Tensor
    labels: Tensor | None
    seconds: float


def predict(
    model: nn.Module,
    batches: Collection[Any],
    device: torch.device,
    description: str = "",
) -> Prediction:
    """Run ``model`` over batches of (images [N, C, H, W], labels [N]) with a progress bar.

    Batches may have other inputs too; ``swis.networks.inputs.labelled`` lists them. Raises
    ``FloatingPointError`` if a logit is not finite, because an accuracy would then have no meaning.
    """
    model.to(device=device, memory_format=torch.channels_last).eval()
    logits, labels = [], []
    start = time.perf_counter()
    for outputs, targets in _in_turn(model, tqdm(batches, desc=description, leave=False), device):
        logits.append(outputs)
        labels.append(targets)
    seconds = time.perf_counter() - start
    whole = torch.cat(logits)
    broken = int((~whole.isfinite()).any(1).sum())
    if broken:
        raise FloatingPointError(f"the logits of {broken} of {len(whole)} images are not finite")
    known = [each for each in labels if each is not None]
    if known and len(known) < len(labels):
        raise InputError(f"{len(labels) - len(known)} of {len(labels)} batches have no labels")
    return Prediction(whole, torch.cat(known) if known else None, seconds)


def _in_turn(
    model: nn.Module, batches: Collection[Any], device: torch.device
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (logits on the CPU, labels) of the batches in their order.

    On the CPU one thread runs each batch. The threads then never wait for each other, and they also share the
    work between convolutions, such as rounding activations.
    """

    threads = torch.get_num_threads()
    workers = min(threads, len(batches)) if device.type == "cpu" else 1
    share = (threads // workers,)
    models: SimpleQueue[nn.Module] = SimpleQueue()
    for _ in range(workers):
        models.put(twin(model))  # one per thread, because a network may store intermediate values in itself

    @torch.inference_mode()
    def outputs(inputs: Inputs) -> Tensor:
        inputs, mine = inputs.to(device).map(_channels_last), models.get()
        try:
            return logits_of(inputs.run(mine)).float().cpu()
        finally:
            models.put(mine)

    running: deque[tuple[Future[Tensor], Tensor | None]] = deque()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=share) as pool:
            for batch in batches:
                inputs, targets = labelled(batch)
                running.append((pool.submit(outputs, inputs), targets))
                if len(running) > workers:
                    future, targets = running.popleft()
                    yield future.result(), targets
            for future, targets in running:
                yield future.result(), targets
    finally:
        torch.set_num_threads(threads)


def _channels_last(values: Tensor) -> Tensor:
    return values.contiguous(memory_format=torch.channels_last) if values.ndim == 4 else values


def closeness(logits: Tensor, reference: Tensor) -> dict[str, float]:
    """Return how close logits [images, classes] are to the float network's ``reference``, without labels.

    ``agreement`` [%] is the share of images with the same top-1 class, ``kl`` [nats] the mean KL divergence
    of the softmax.

    >>> closeness(torch.eye(4), torch.eye(4))
    {'agreement': 100.0, 'kl': 0.0}
    """
    same = int((logits.argmax(1) == reference.argmax(1)).sum())
    return {"agreement": 100 * same / len(logits), "kl": kl_divergence(reference, logits)}


def score(prediction: Prediction, reference: Tensor) -> dict[str, float | str]:
    """Return the accuracy columns of a row; ``reference`` has the float network's logits [images, classes].

    In percent: top1, top5, agreement (same top-1 class as the float network), top1_low and top1_high (the
    ends of Wilson's 95 % interval). Also logit_sqnr_db [dB], kl [nats], images, images_per_second, and
    correct (for ``swis.evaluation.paired_tests``).

    >>> p = Prediction(torch.eye(4), torch.tensor([0, 1, 2, 0]), seconds=2.0)
    >>> s = score(p, torch.eye(4))
    >>> s["top1"], s["agreement"], s["images_per_second"]
    (75.0, 100.0, 2.0)
    """
    logits, labels = prediction.logits, prediction.labels
    images, classes = logits.shape
    correct = logits.argmax(1) == labels
    top1 = int(correct.sum())
    top5 = int((logits.topk(min(5, classes), 1).indices == labels[:, None]).any(1).sum())
    low, high = wilson_interval(top1, images)
    return {
        "top1": 100 * top1 / images,
        "top1_low": float(low),
        "top1_high": float(high),
        "top5": 100 * top5 / images,
        **closeness(logits, reference),
        "logit_sqnr_db": sqnr_db(reference, logits),
        "images": images,
        "correct": pack_correct(correct.numpy()),
        "images_per_second": images / prediction.seconds,
    }
