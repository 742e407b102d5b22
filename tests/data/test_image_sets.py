"""Image data sets: labels, splits, formats on disk, and errors for missing data."""

import gzip
import os

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms

from swis.data.image_sets import loader, open_split, read_idx
from swis.errors import InputError
from swis.experiments.config import load


def data_config(*overrides: str):
    return load(overrides).data


def save_images(folder, count=2):
    folder.mkdir(parents=True)
    for i in range(count):
        Image.new("RGB", (8, 8), (40 * i, 90, 10)).save(folder / f"{i}.png")


def test_the_embedded_images_are_all_test_images_and_a_stratified_training_subset():
    test, train = (open_split(data_config(), split) for split in ("test", "train"))
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert np.bincount(train.labels).tolist() == [1000] * 10
    assert all(image.shape == (28, 28) for image in (*test.sources, *train.sources))
    # the mean and deviation of the full training set, to three digits
    assert np.mean(train.sources) / 255 == pytest.approx(0.286, abs=2e-3)
    assert np.std(train.sources) / 255 == pytest.approx(0.353, abs=2e-3)


def test_batches_keep_the_order_and_have_the_channels_of_the_network():
    split = open_split(data_config(), "test").sample(10, seed=0)
    for channels in (1, 3):
        batches = list(loader(split.prepared(transforms.ToTensor(), channels), 4, workers=0))
        assert [len(images) for images, _ in batches] == [4, 4, 2]
        assert batches[0][0].shape[1] == channels
        assert torch.cat([labels for _, labels in batches]).tolist() == split.labels.tolist()


def test_a_sample_and_its_digest_depend_on_the_seed():
    split = open_split(data_config(), "test")
    first, again, other = split.sample(50, 0), split.sample(50, 0), split.sample(50, 1)
    assert first.digest == again.digest != other.digest
    assert first.labels.tolist() == again.labels.tolist() != other.labels.tolist()
    assert split.sample(None, 0) is split
    assert split.sample(10_000, 0) is split


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("zipped", [False, True])
def test_fashion_mnist_from_a_folder(tmp_path, nested, zipped):
    folder = tmp_path / "FashionMNIST" / "raw" if nested else tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    images = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    for kind, array in (("images-idx3", images), ("labels-idx1", np.array([4, 5, 6], np.uint8))):
        header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
        raw = header + array.tobytes()
        name = f"train-{kind}-ubyte"
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / name).write_bytes(raw)
    split = open_split(data_config(f"data.root={tmp_path}"), "train")
    assert split.labels.tolist() == [4, 5, 6]
    assert np.array_equal(split.sources[2], images[2])
    with pytest.raises(InputError, match="t10k-images"):
        open_split(data_config(f"data.root={tmp_path}"), "test")


def test_a_part_of_imagenet_has_the_labels_of_all_1000_classes(tmp_path):
    for wordnet_id in ("n01440764", "n02088238", "n15075141"):
        save_images(tmp_path / "val" / wordnet_id)
    split = open_split(data_config("data=imagenet", f"data.root={tmp_path}"), "val")
    assert split.labels.tolist() == [0, 0, 161, 161, 999, 999]
    assert split.num_classes == 1000


def test_imagenet_refuses_folders_that_are_not_wordnet_ids(tmp_path):
    save_images(tmp_path / "val" / "cats")
    with pytest.raises(InputError, match="'cats' is not one"):
        open_split(data_config("data=imagenet", f"data.root={tmp_path}"), "val")


def test_image_folder_numbers_classes_alphabetically(tmp_path):
    save_images(tmp_path / "val" / "b", 1)
    save_images(tmp_path / "val" / "a", 2)
    split = open_split(data_config("data=image_folder", f"data.root={tmp_path}"), "val")
    assert (split.labels.tolist(), split.num_classes) == ([0, 0, 1], 2)


def test_the_digest_changes_with_the_content_of_a_file(tmp_path):
    save_images(tmp_path / "val" / "a", 2)
    config = data_config("data=image_folder", f"data.root={tmp_path}")
    before = open_split(config, "val").digest
    assert open_split(config, "val").digest == before
    Image.new("RGB", (50, 50)).save(tmp_path / "val" / "a" / "0.png")
    assert open_split(config, "val").digest != before


@pytest.mark.parametrize(
    ("overrides", "split", "message"),
    [
        (["data.root=nowhere"], "test", "data.root=nowhere is not a folder"),
        ([], "val", "fashion_mnist has the splits train and test"),
        (["data=cifar10"], "val", "cifar10 has the splits train and test"),
        (["data=cifar10", "data.root={}"], "test", "data.download=true"),
        (["data=cifar100", "data.root={}"], "test", "data.download=true"),
        (["data=imagenette", "data.root={}"], "val", "data.download=true"),
        (["data=imagenet", "data.root={}"], "val", "must have a folder named 'val'"),
        (["data=image_folder", "data.root={}"], "empty", "must have one folder per class"),
        (["data=imagenet", "data.root='~nouser/x'"], "val", "data.root=~nouser/x is not a folder: .* user"),
        (["data=imagenet", f"data.root={'x' * 5000}"], "val", "^x{200}... cannot be accessed: File name"),
        (["data=imagenet", "data.root={}"], "x" * 5000, "cannot be accessed: File name"),
    ],
)
def test_missing_data_is_named_in_the_error(tmp_path, overrides, split, message):
    (tmp_path / "empty").mkdir()
    config = data_config(*(override.format(tmp_path) for override in overrides))
    with pytest.raises(InputError, match=message):
        open_split(config, split)


@pytest.mark.parametrize("name", ["imagenet", "image_folder"])
@pytest.mark.parametrize("split", ["", ".", "./", "..", "val/..", "../val", "/tmp"])
def test_a_split_is_a_folder_in_the_root(tmp_path, name, split):
    save_images(tmp_path / "val" / "n01440764" / "n01440764")
    config = data_config(f"data={name}", f"data.root={tmp_path / 'val'}")
    with pytest.raises(InputError, match=r"is not a split: data\.split, .* must name folders in data\.root"):
        open_split(config, split)
    assert len(open_split(data_config(f"data={name}", f"data.root={tmp_path}"), "val/n01440764")) == 2


@pytest.mark.skipif(os.geteuid() == 0, reason="root can access every folder")
def test_a_folder_without_permission_gives_a_one_line_error(tmp_path):
    save_images(tmp_path / "closed" / "root" / "val" / "a")
    (tmp_path / "closed").chmod(0)
    config = data_config("data=image_folder", f"data.root={tmp_path / 'closed' / 'root'}")
    try:
        with pytest.raises(InputError, match="closed/root cannot be accessed: Permission denied"):
            open_split(config, "val")
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_a_file_that_is_not_idx_is_refused(tmp_path):
    (tmp_path / "x").write_bytes(b"PNG and more")
    with pytest.raises(InputError, match="not a complete IDX file"):
        read_idx(tmp_path / "x")


def test_a_corrupt_file_is_refused(tmp_path):
    (tmp_path / "short").write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 9, 1, 2]))
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"0" * 1000)[:20])
    for name in ("short", "cut.gz"):
        with pytest.raises(InputError, match=f"{name} is not a complete IDX file"):
            read_idx(tmp_path / name)


@pytest.mark.parametrize("name", ["fashion_mnist", "cifar10", "cifar100", "imagenette"])
def test_a_failed_download_gives_a_one_line_error(tmp_path, monkeypatch, name):
    def refuse(*_, **__):
        raise OSError("no route to host\nand more")

    kinds = ("FashionMNIST.download", "CIFAR10.download", "Imagenette._download")
    for kind in kinds:
        monkeypatch.setattr(f"torchvision.datasets.{kind}", refuse)
    config = data_config(f"data={name}", f"data.root={tmp_path}", "data.download=true")
    with pytest.raises(InputError, match=r"could not be downloaded.*no route to host$"):
        open_split(config, config.split)


@pytest.mark.parametrize("classes", [10, 100])
def test_cifar_as_torchvision_stores_it(tmp_path, monkeypatch, classes):
    import pickle

    from torchvision import datasets

    kind = {10: datasets.CIFAR10, 100: datasets.CIFAR100}[classes]
    folder = tmp_path / kind.base_folder
    folder.mkdir()
    pixels = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
    labels = {"labels" if classes == 10 else "fine_labels": [3, 7]}
    (folder / kind.test_list[0][0]).write_bytes(pickle.dumps({"data": pixels, **labels}))
    names = [f"class {i}" for i in range(classes)]
    (folder / kind.meta["filename"]).write_bytes(pickle.dumps({kind.meta["key"]: names}))
    config = data_config(f"data=cifar{classes}", f"data.root={tmp_path}")
    with pytest.raises(InputError, match=r"data\.download=true"):  # torchvision compares checksums
        open_split(config, "test")
    monkeypatch.setattr(kind, "_check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    split = open_split(config, "test")
    assert (split.labels.tolist(), split.num_classes) == ([3, 7], classes)
    assert split.sources[0].shape == (32, 32, 3)
    assert split.sources[1][0, 1, 2] == pixels[1, 2 * 1024 + 1]  # planes of red, green and blue


def test_imagenette_has_imagenet_s_labels(tmp_path):
    for split in ("train", "val"):
        for wordnet_id in ("n01440764", "n03888257"):
            save_images(tmp_path / "imagenette2-160" / split / wordnet_id, 1)
            for path in (tmp_path / "imagenette2-160" / split / wordnet_id).iterdir():
                path.rename(path.with_suffix(".JPEG"))
    split = open_split(data_config("data=imagenette", f"data.root={tmp_path}"), "val")
    assert (split.labels.tolist(), split.num_classes) == ([0, 701], 1000)
