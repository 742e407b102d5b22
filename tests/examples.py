"""Rows and packed files that several tests use."""

import json

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from swis.packing.file import _checksum


def row(key="k", **changes):
    """Return a row of results as a study writes it."""
    return {
        "key": key,
        "model": "tiny",
        "weights": "random",
        "data": "fashion_mnist",
        "split": "test",
        "images": 64,
        "method": "swis",
        "bits": 2,
        "group_size": 4,
        "alpha": 1.0,
        "fold_bn": False,
        "top1": 50.0,
        "status": "ok",
        "seed": 0,
        "config": "{}",
        **changes,
    }


def changed(path, change, sound_checksum: bool) -> None:
    """Rewrite the header of a packed file; ``change`` edits it, and may edit the tensors."""
    with safe_open(path, "pt") as file:
        header = json.loads(file.metadata()["swis"])
    tensors = load_file(path)
    claimed = header.pop("sha256")
    change(header, tensors)
    header["sha256"] = _checksum(tensors, header) if sound_checksum else claimed
    save_file(tensors, path, {"swis": json.dumps(header)})
