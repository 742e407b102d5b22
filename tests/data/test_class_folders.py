"""Class folders: which folders are classes, and the number of each class."""

import pytest
from PIL import Image

from swis.data.image_sets import open_split
from swis.data.split import check_classes
from swis.errors import InputError
from swis.options.choices import ClassOrder
from swis.options.data import DataConfig
from swis.runtime.notices import warn_once


@pytest.fixture(autouse=True)
def warn_again():
    warn_once.cache_clear()


def save(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)


def opened(root, order=None, name="image_folder"):
    data = DataConfig(name, str(root), split="val", calibration_split="train", class_order=order)
    return open_split(data, "val")


def test_folders_that_are_not_classes_are_left_out_and_named(tmp_path, caplog):
    val = tmp_path / "val"
    save(val / "a" / "0.png", val / "b" / "1.PNG")
    save(val / ".ipynb_checkpoints" / "x.png", val / "__MACOSX" / "y.png", val / "b" / ".hidden" / "z.png")
    save(val / "b" / "._1.png", val / "b" / "deeper" / "2.png")
    (val / "checkpoints" / "more").mkdir(parents=True)
    (val / "notes.txt").write_text("")
    split = opened(tmp_path)
    assert (split.labels.tolist(), split.num_classes, split.classes) == ([0, 1, 1], 2, {0: "a", 1: "b"})
    assert [path.name for path in split.sources] == ["0.png", "1.PNG", "2.png"]
    (line,) = caplog.messages
    assert "._1.png, .hidden, .ipynb_checkpoints, __MACOSX, checkpoints" in line
    opened(tmp_path)
    assert len(caplog.messages) == 1  # only one warning


def test_a_checkpoints_folder_with_images_is_a_class(tmp_path):
    save(tmp_path / "val" / "a" / "0.png", tmp_path / "val" / "checkpoints" / "1.png")
    assert opened(tmp_path).classes == {0: "a", 1: "checkpoints"}


def test_imagenet_leaves_out_the_same_folders(tmp_path, caplog):
    save(tmp_path / "val" / "n02088238" / "0.png", tmp_path / "val" / ".thumbs" / "1.png")
    (tmp_path / "val" / "logs").mkdir()
    assert opened(tmp_path, name="imagenet").labels.tolist() == [161]
    assert ".thumbs, logs" in caplog.text


def test_a_class_without_images_still_counts_and_is_named(tmp_path, caplog):
    save(tmp_path / "val" / "a" / "0.png", tmp_path / "val" / "c" / "1.png")
    (tmp_path / "val" / "b").mkdir()
    split = opened(tmp_path)
    assert (split.labels.tolist(), split.num_classes) == ([0, 2], 3)
    assert "no images of class b; classes without images (1) still count" in caplog.text


def test_links_are_followed_but_not_in_cycles(tmp_path):
    save(tmp_path / "elsewhere" / "0.png", tmp_path / "val" / "b" / "1.png")
    (tmp_path / "val" / "a").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "val" / "b" / "again").symlink_to(tmp_path / "val" / "b")
    assert opened(tmp_path).labels.tolist() == [0, 1]


def test_links_to_themselves_are_not_folders(tmp_path):
    save(tmp_path / "val" / "a" / "0.png")
    (tmp_path / "val" / "a" / "self").symlink_to("self")
    (tmp_path / "val" / "b").symlink_to("b")
    assert opened(tmp_path).classes == {0: "a"}


@pytest.mark.parametrize("name", ["@eaDir", "$RECYCLE.BIN", "System Volume Information"])
def test_system_folders_are_not_classes_and_their_images_are_ignored(tmp_path, name):
    save(
        tmp_path / "val" / "a" / "0.png",
        tmp_path / "val" / name / "1.png",
        tmp_path / "val" / "a" / name / "2.png",
    )
    split = opened(tmp_path)
    assert (split.classes, len(split)) == ({0: "a"}, 1)


def numbers(tmp_path, *names):
    for name in names:
        save(tmp_path / "val" / name / "0.png")
    return tmp_path


def test_the_user_chooses_the_order_of_folders_that_are_numbers(tmp_path):
    root = numbers(tmp_path, *map(str, range(11)))
    message = r"'10' is class 10 by its number, but 2 in alphabetical order; set data\.class_order"
    with pytest.raises(InputError, match=message):
        opened(root)
    by_name = {name: label for label, name in opened(root, ClassOrder.alphabetical).classes.items()}
    assert (by_name["10"], by_name["2"]) == (2, 3)
    split = opened(root, ClassOrder.index)
    assert split.num_classes == 11
    assert {path.parent.name: label for path, label in zip(split.sources, split.labels, strict=True)} == {
        str(number): number for number in range(11)
    }


def test_numbers_in_alphabetical_order_need_no_option(tmp_path):
    assert opened(numbers(tmp_path, "000", "001", "002")).labels.tolist() == [0, 1, 2]


def test_numbers_can_have_gaps_which_are_named(tmp_path, caplog):
    root = numbers(tmp_path, "1", "3")
    with pytest.raises(InputError, match="'1' is class 1 by its number, but 0 in alphabetical order"):
        opened(root)
    split = opened(root, ClassOrder.index)
    assert (split.labels.tolist(), split.num_classes) == ([1, 3], 4)
    assert "no images of class 0, 2; classes without images (2) still count" in caplog.text


def test_many_classes_without_images_give_one_line(tmp_path, caplog):
    assert opened(numbers(tmp_path, "0", "100000"), ClassOrder.index).num_classes == 100_001
    (line,) = caplog.messages
    assert "no images of class 1, 2, 3, 4, 5 and 99994 more; classes without images (99999) still" in line


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["0", "cat"], "the folder 'cat'"),
        (["1", "01"], "have the same number"),
        (["0", "100001"], "'100001' in .* is a class number above 100,000"),
    ],
)
def test_names_that_are_not_class_numbers_are_refused(tmp_path, names, message):
    with pytest.raises(InputError, match=message):
        opened(numbers(tmp_path, *names), ClassOrder.index)


def test_class_order_is_only_for_image_folders():
    with pytest.raises(InputError, match=r"data\.class_order is only for data=image_folder; cifar10 fixes"):
        DataConfig("cifar10", split="test", calibration_split="train", class_order=ClassOrder.index)


def test_splits_with_different_classes_are_refused(tmp_path):
    save(*(tmp_path / path for path in ("val/a/0.png", "val/b/0.png", "train/a/0.png", "train/c/0.png")))
    data = DataConfig("image_folder", str(tmp_path), split="val", calibration_split="train")
    first, second = (open_split(data, name) for name in ("train", "val"))
    check_classes(first, first)
    with pytest.raises(InputError, match="class 1 is 'c' in the first and 'b' in the second"):
        check_classes(first, second)


@pytest.mark.parametrize("one", ["1", "01"])
def test_numbers_with_gaps_are_compared_label_by_label(tmp_path, one):
    save(*(tmp_path / path / "0.png" for path in ("val/0", "val/2", "train/0", f"train/{one}", "train/2")))
    data = DataConfig(
        "image_folder", str(tmp_path), split="val", calibration_split="train", class_order=ClassOrder.index
    )
    first, second = (open_split(data, name) for name in ("train", "val"))
    assert second.classes == {0: "0", 2: "2"}
    check_classes(first, second)
    save(tmp_path / "val" / "001" / "0.png")
    check_classes(first, open_split(data, "val"))
