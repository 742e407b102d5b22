"""Write the Fashion-MNIST files inside the package: python tools/embed_fashion_mnist.py FOLDER

FOLDER has the four original files, such as /usr/share/datasets/fashion-mnist of Debian's package
dataset-fashion-mnist. The package gets all test images, and 1,000 training images of each class, chosen at
random with seed 0, in their original order.
"""

import gzip
import sys
from pathlib import Path

import numpy as np

from swis.data.image_sets import read_idx

PER_CLASS = 1000
TARGET = Path(__file__).parents[1] / "swis" / "assets" / "fashion_mnist"


def write_idx(path: Path, array: np.ndarray) -> None:
    """Write uint8 values to a gzipped IDX file; equal values give equal bytes."""
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes(), 9, mtime=0))


def main(folder: Path) -> None:
    """Read the original files in ``folder`` and write those of the package."""
    TARGET.mkdir(parents=True, exist_ok=True)
    splits = {}
    for split in ("train", "t10k"):
        kinds = ("images-idx3", "labels-idx1")
        splits[split] = [read_idx(folder / f"{split}-{kind}-ubyte.gz") for kind in kinds]
    labels = splits["train"][1]
    random = np.random.default_rng(0)
    chosen = [random.choice(np.flatnonzero(labels == c), PER_CLASS, replace=False) for c in np.unique(labels)]
    keep = np.sort(np.concatenate(chosen))
    splits["train"] = [array[keep] for array in splits["train"]]
    for split, (images, labels) in splits.items():
        write_idx(TARGET / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(TARGET / f"{split}-labels-idx1-ubyte.gz", labels)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
