"""Scores from logits, and the interval around an accuracy."""

import numpy as np
import pytest
import torch
from scipy.special import softmax as _softmax
from scipy.stats import binomtest
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from swis.evaluation.predict import Prediction, predict, score


def softmax(logits):
    return _softmax(logits, axis=1)


def test_scores_computed_by_hand():
    logits = torch.tensor([[9.0, 1, 2, 3, 4, 5], [1, 9, 2, 3, 4, 5], [9, 0, 5, 4, 3, 2], [0, 1, 2, 3, 4, 9]])
    labels = torch.tensor([0, 1, 1, 4])
    reference = torch.tensor([[9.0, 1, 2, 3, 4, 5]] * 4)
    columns = score(Prediction(logits, labels, 0.5), reference)
    assert columns["top1"] == 50
    assert columns["top5"] == 75  # the label of the third image has the smallest of six logits
    assert columns["agreement"] == 50
    shares = [softmax(each.double().numpy()) for each in (reference, logits)]
    expected = [
        sum(p * np.log(p / q) for p, q in zip(*pair, strict=True)) for pair in zip(*shares, strict=True)
    ]
    assert columns["kl"] == pytest.approx(np.mean(expected), rel=1e-12)
    assert columns["images"] == 4
    assert columns["images_per_second"] == 8


def test_large_logits_have_a_finite_divergence_and_equal_ones_none():
    logits = torch.tensor([[1e4, 0.0], [0.0, 1e4]])
    assert score(Prediction(logits, torch.tensor([0, 1]), 1.0), logits)["kl"] == 0
    swapped = score(Prediction(logits.flip(1), torch.tensor([0, 1]), 1.0), logits)
    assert (swapped["kl"], swapped["agreement"]) == (1e4, 0)


def test_top5_of_two_classes():
    columns = score(Prediction(torch.eye(2), torch.tensor([0, 0]), 1.0), torch.eye(2))
    assert (columns["top1"], columns["top5"], columns["logit_sqnr_db"]) == (50, 100, float("inf"))


def test_no_or_all_correct_images_have_an_interval():
    logits = torch.eye(10)[torch.zeros(500, dtype=torch.long)]
    none, all_ = (score(Prediction(logits, torch.full((500,), label), 1.0), logits) for label in (1, 0))
    assert (none["top1"], none["top1_low"]) == (0, 0)
    assert none["top1_high"] == pytest.approx(100 * binomtest(0, 500).proportion_ci(method="wilson").high)
    assert (all_["top1"], all_["top1_high"]) == (100, 100)
    assert all_["top1_low"] == pytest.approx(100 - none["top1_high"])


def test_predictions_are_the_network_s_logits_in_order():
    images, labels = torch.randn(10, 3), torch.arange(10)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5))  # evaluation mode turns dropout off
    prediction = predict(model, DataLoader(TensorDataset(images, labels), 3), torch.device("cpu"))
    with torch.no_grad():
        torch.testing.assert_close(prediction.logits, model[0](images))
    assert prediction.labels.tolist() == list(range(10))
    assert prediction.seconds > 0


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_change_no_logit_and_their_number_is_restored(threads):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    batches = [(torch.randn(size, 2, 8, 8), torch.arange(size)) for size in (7, 7, 7, 2)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        prediction = predict(model, batches, torch.device("cpu"))
        assert torch.get_num_threads() == threads
        torch.set_num_threads(1)
        with torch.inference_mode():
            alone = [model(images.contiguous(memory_format=torch.channels_last)) for images, _ in batches]
    finally:
        torch.set_num_threads(before)
    assert torch.equal(prediction.logits, torch.cat(alone))
    assert torch.equal(prediction.labels, torch.cat([labels for _, labels in batches]))


def test_a_batch_that_fails_ends_the_prediction():
    model = nn.Linear(3, 4)
    batches = [(torch.randn(5, 3), torch.arange(5)), (torch.randn(5, 2), torch.arange(5))]
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        predict(model, batches, torch.device("cpu"))


def test_logits_that_are_not_finite_are_refused():
    model = nn.Linear(3, 4)
    model.bias.data[2] = torch.inf
    batches = DataLoader(TensorDataset(torch.randn(5, 3), torch.arange(5)), 3)
    with pytest.raises(FloatingPointError, match="5 of 5 images are not finite"):
        predict(model, batches, torch.device("cpu"))
