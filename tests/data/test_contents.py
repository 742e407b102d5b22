"""Image files are identified by their contents, and hashes are cached until a file changes."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from swis.data import contents
from swis.data.contents import Content, examine, identity
from swis.data.image_sets import open_split
from swis.experiments.shared_images import shared_images, shared_split
from swis.options.data import DataConfig


@pytest.fixture
def hashes(monkeypatch, tmp_path):
    """Use an empty cache that also keeps hashes of new files; return the list of names of files read."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(contents, "_tables", {})
    monkeypatch.setattr(contents, "SETTLED", -1)
    read, original = [], contents._read

    def watched(path, decode):
        read.append(path.name)
        return original(path, decode)

    monkeypatch.setattr(contents, "_read", watched)
    return read


def bmp_set(root: Path, start: int = 0) -> Path:
    """Write a data set; ``start`` changes only its colours, and all files have the same size."""
    for number in range(4):
        path = root / "val" / "ab"[number // 2] / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (start + number, 9, 9)).save(path)
    return root


def data_of(root: Path):
    return DataConfig("image_folder", str(root), split="val", calibration_split="train")


def digest(root: Path) -> str:
    return open_split(data_of(root), "val").digest


def forget(monkeypatch):
    monkeypatch.setattr(contents, "_tables", {})  # as in a new process


def test_data_sets_with_equal_names_and_sizes_have_different_digests(tmp_path):
    first, second = bmp_set(tmp_path / "first"), bmp_set(tmp_path / "second", 50)
    assert digest(first) != digest(second)
    assert digest(first) == digest(bmp_set(tmp_path / "third"))


def test_the_digest_depends_on_order_and_class_but_not_on_names_and_times(tmp_path):
    before = digest(bmp_set(tmp_path))
    (tmp_path / "val" / "a").rename(tmp_path / "val" / "aa")
    (tmp_path / "val" / "b" / "2.bmp").rename(tmp_path / "val" / "b" / "21.bmp")
    os.utime(tmp_path / "val" / "aa" / "0.bmp", (1, 1))
    assert digest(tmp_path) == before
    (tmp_path / "val" / "b" / "21.bmp").rename(tmp_path / "val" / "b" / "4.bmp")  # after 3.bmp
    assert digest(tmp_path) != before
    (tmp_path / "val" / "b" / "4.bmp").rename(tmp_path / "val" / "aa" / "4.bmp")  # into another class
    assert digest(tmp_path) != before


def test_decoded_images_follow_files_that_change_in_place(tmp_path):
    """This holds in one process, with equal sizes and times, and with cached images beside the rows."""

    def images(root):
        split = shared_split(data_of(root), "val").prepared(lambda image: _tensor(image), 3)
        return shared_images(split, {}, tmp_path / "runs", workers=0)["images"][:, 0, 0, 0].tolist()

    root = bmp_set(tmp_path)
    times = {path: path.stat() for path in root.rglob("*.bmp")}
    assert images(root) == [0, 1, 2, 3]
    bmp_set(root, 50)
    for path, status in times.items():
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert images(root) == [50, 51, 52, 53]
    shutil.rmtree(root / "val" / "b")
    assert images(root) == [50, 51]


def _tensor(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_files_are_read_only_once_and_decoded_only_once(tmp_path, hashes, monkeypatch):
    split = open_split(data_of(bmp_set(tmp_path)), "val")
    first = split.digest
    assert len(hashes) == 4
    forget(monkeypatch)
    assert open_split(data_of(tmp_path), "val").digest == first
    assert len(hashes) == 4
    for _ in range(2):
        assert split.looked_at(decode=True).digest == first
        assert len(hashes) == 8
    monkeypatch.setattr(contents, "_READER", "pillow of tomorrow")
    split.looked_at(decode=True)
    assert len(hashes) == 12


@pytest.mark.parametrize("change", ["content", "content and times", "inode"])
def test_a_file_that_changes_is_read_again(tmp_path, hashes, monkeypatch, change):
    before = digest(bmp_set(tmp_path))
    path = tmp_path / "val" / "a" / "1.bmp"
    status = path.stat()
    if change == "inode":
        path = shutil.copy2(path, tmp_path / "copy")
    Image.new("RGB", (8, 8), (77, 9, 9)).save(path, "BMP")
    if change != "content":
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    if change == "inode":
        path.replace(tmp_path / "val" / "a" / "1.bmp")
    assert digest(tmp_path) != before
    assert hashes[4:] == ["1.bmp"]


def test_the_hash_of_a_file_that_changed_just_now_is_not_cached(tmp_path, hashes, monkeypatch):
    monkeypatch.setattr(contents, "SETTLED", 3600 * 10**9)
    assert digest(bmp_set(tmp_path)) == digest(tmp_path)
    assert len(hashes) == 8


def damages(kept: Path):
    whole = kept.read_bytes()
    check, body = whole.split(b"\n", 1)
    table = json.loads(body)
    table["a/0.bmp"][4] = "0" * 64
    yield check + b"\n" + json.dumps(table).encode()
    yield whole[: len(whole) // 2]
    yield whole.replace(b"a", b"b")
    yield b""
    yield bytes(range(256))


def test_a_damaged_cache_is_ignored_and_replaced(tmp_path, hashes, monkeypatch):
    before = digest(bmp_set(tmp_path))
    (kept,) = (tmp_path / "cache").rglob("*.json")
    for number, damaged in enumerate(damages(kept)):
        kept.write_bytes(damaged)
        forget(monkeypatch)
        assert digest(tmp_path) == before
        assert len(hashes) == 4 * (number + 2)
        forget(monkeypatch)  # the cache is valid again
        assert digest(tmp_path) == before
        assert len(hashes) == 4 * (number + 2)


@pytest.mark.parametrize("place", ["a file", "a folder in place of the table"])
def test_without_a_writable_cache_files_are_read_each_time(tmp_path, hashes, monkeypatch, place):
    root = bmp_set(tmp_path / "set")
    if place == "a file":
        (tmp_path / "cache").write_text("")
    else:
        contents._place((root / "val").absolute()).mkdir(parents=True)
    for count in (1, 2):
        forget(monkeypatch)
        digest(root)
        assert len(hashes) == 4 * count


def test_the_cache_keeps_the_hashes_of_two_processes(tmp_path, hashes, monkeypatch):
    split = open_split(data_of(bmp_set(tmp_path)), "val")
    contents._table(split.origin.folder)  # still empty
    first = dict(contents._tables)
    forget(monkeypatch)
    examine(split.origin.folder, split.sources[:2], decode=False)
    monkeypatch.setattr(contents, "_tables", first)
    examine(split.origin.folder, split.sources[2:], decode=False)
    forget(monkeypatch)
    assert split.digest
    assert len(hashes) == 4


def test_older_digests_are_returned_only_for_their_contents():
    parts, labels = [Content("a", None), Content("b", None)], [0, 1]
    found = identity(parts, labels, {})
    assert identity(parts, labels, {found: "committed"}) == "committed"
    assert identity(parts[::-1], labels, {found: "committed"}) not in ("committed", found)
    table = contents._committed()
    assert len(set(table.values())) == len(table)


def test_the_imagenet_sample_has_the_identity_of_the_committed_rows(shared):
    root = str(shared / "data" / "imagenet_sample")
    data = DataConfig("imagenet", root, split="val", calibration_split="calib")
    whole = shared_split(data, "calib")
    assert whole.digest.startswith("5a517b3b")  # in the column "retrain" of results/retrain
    sample = whole.sample(256, 0)
    assert sample.digest in contents._committed().values()
    assert whole.sample(255, 0).digest not in contents._committed().values()


def test_the_shape_of_an_array_is_part_of_its_identity():
    data = DataConfig("fashion_mnist", split="test", calibration_split="train")
    split = open_split(data, "test").sample(16, 0)
    turned = replace(split, sources=split.sources.reshape(16, 14, 56))
    assert turned.digest != split.digest != replace(split, sources=split.sources.reshape(16, 56, 14)).digest
