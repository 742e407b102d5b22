"""Loading processes start wherever a run may be."""

import joblib
import torch
from torch.utils.data import TensorDataset

from swis.data.image_sets import loader


def _count() -> int:
    images = TensorDataset(torch.zeros(4, 1, 2, 2), torch.zeros(4))
    return sum(len(batch[0]) for batch in loader(images, batch_size=2, workers=1))


def test_images_load_in_processes_inside_a_process_of_joblib():
    assert joblib.Parallel(n_jobs=2)(joblib.delayed(_count)() for _ in range(2)) == [4, 4]
