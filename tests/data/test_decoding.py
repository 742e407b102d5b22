"""Images of every format and bit depth are decoded correctly, or refused with the name of the file."""

import os
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from swis.data.decoding import read_image, shown
from swis.data.image_sets import open_split
from swis.errors import DamagedImage, InputError
from swis.experiments.shared_images import drawn
from swis.options.choices import Damaged
from swis.options.data import DataConfig

# 16-bit values from black to white; some of them are between two 8-bit values
RAMP = np.array([[0, 128, 129, 257, 32768, 65535]], np.uint16)
EIGHT_BITS = [0, 0, 1, 1, 128, 255]


def tiff(path, values, bits, photometric=1, sample_format=1, order="<"):
    """Write one row of values as a TIFF file with these tags."""
    data = np.ascontiguousarray(values).tobytes()
    tags = [
        (256, 4, np.shape(values)[-1]),
        (257, 4, 1),
        (258, 3, bits),
        (259, 3, 1),
        (262, 3, photometric),
        (273, 4, 200),
        (277, 3, 1),
        (278, 4, 1),
        (279, 4, len(data)),
        (339, 3, sample_format),
    ]
    head = struct.pack(order + "2sHI", b"II" if order == "<" else b"MM", 42, 8)
    entries = b""
    for tag, kind, value in tags:
        packed = struct.pack(order + "I", value) if kind == 4 else struct.pack(order + "HH", value, 0)
        entries += struct.pack(order + "HHI", tag, kind, 1) + packed
    body = head + struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0)
    path.write_bytes(body.ljust(200, b"\0") + data)
    return path


def grey(path, mode="RGB"):
    values = np.asarray(read_image(path, mode))
    if mode == "RGB":
        assert (values == values[..., :1]).all()
        values = values[..., 0]
    return values[0].tolist()


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", ["a.png", "a.tiff", "a.pgm"])
def test_grey_images_of_16_bits_are_scaled_to_8(tmp_path, name, mode):
    Image.fromarray(RAMP).save(tmp_path / name)
    assert grey(tmp_path / name, mode) == EIGHT_BITS


def test_16_bits_in_both_byte_orders_and_32_bits_with_16_bit_values(tmp_path):
    assert grey(tiff(tmp_path / "a.tif", RAMP.astype(">u2"), 16, order=">")) == EIGHT_BITS
    assert grey(tiff(tmp_path / "b.tif", RAMP.astype("<i4"), 32, sample_format=2)) == EIGHT_BITS
    assert grey(tiff(tmp_path / "c.tif", RAMP.astype("<u4"), 32)) == EIGHT_BITS
    assert np.asarray(read_image(RAMP, "L"))[0].tolist() == EIGHT_BITS


def test_white_can_be_zero_or_have_12_bits(tmp_path):
    inverted = [255 - value for value in EIGHT_BITS]
    assert grey(tiff(tmp_path / "a.tif", RAMP, 16, photometric=0)) == inverted
    packed = bytes([0x00, 0x0F, 0xFF, 0x80, 0x00, 0x00])  # 0, 4095, 2048, 0 in 12 bits each
    path = tiff(tmp_path / "b.tif", np.frombuffer(packed, np.uint8)[None, :4], 12)
    path.write_bytes(path.read_bytes()[:200] + packed)
    assert grey(path) == [0, 255, 128, 0]


@pytest.mark.parametrize(
    ("values", "bits", "sample_format", "message"),
    [
        (RAMP.astype("<f4") / 65535, 32, 3, "floating-point values"),
        (np.array([[0, 65536]], "<i4"), 32, 2, "from 0 to 65536, so that the value of white is not known"),
        (np.array([[-1, 300]], "<i4"), 32, 2, "from -1 to 300"),
        (np.array([[0, 255]], "<i4"), 32, 2, "up to 255, which can be values of 8 bits or of 16 bits"),
        (np.array([[0, 300]], "<i2"), 16, 2, "signed values of 16 bits"),
    ],
)
def test_images_with_an_unknown_value_of_white_are_refused(tmp_path, values, bits, sample_format, message):
    path = tiff(tmp_path / "some.tif", values, bits, sample_format=sample_format)
    with pytest.raises(DamagedImage, match=rf"some\.tif has .*{message}"):
        read_image(path, "RGB")


def test_other_formats_are_converted_as_pillow_does(tmp_path):
    def read(image, name, mode="RGB"):
        image.save(tmp_path / name)
        return np.asarray(read_image(tmp_path / name, mode))[0, 0].tolist()

    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 10, 20, 30])
    assert read(palette, "a.png") == [10, 20, 30]
    palette.info["transparency"] = b"\0\0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        assert read(palette, "b.png") == [10, 20, 30]
    assert read(Image.new("RGBA", (2, 2), (10, 20, 30, 0)), "c.png") == [10, 20, 30]  # colours under alpha
    assert read(Image.new("LA", (2, 2), (77, 0)), "d.png") == [77] * 3
    assert read(Image.new("LA", (2, 2), (77, 0)), "d.png", "L") == 77
    assert read(Image.new("1", (2, 2), 1), "e.png") == [255] * 3
    assert read(Image.new("CMYK", (2, 2), (255, 0, 0, 0)), "f.tif") == [0, 255, 255]


def jpeg(path, size=(64, 64)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (*size, 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def damage(path):
    """Damage a file in several ways; yield the expected message for each."""
    whole = path.read_bytes()
    yield from ()
    path.write_bytes(whole[: len(whole) // 2])
    yield "cannot be decoded"
    path.write_bytes(b"")
    yield r"cannot be decoded \(its format is not known\)"
    path.unlink()
    path.symlink_to("nowhere")
    yield "No such file or directory"
    path.unlink()
    os.mkfifo(path)
    yield "it is not a file"
    path.unlink()
    path.write_bytes(whole)


def folder_of(root, **more):
    return DataConfig("image_folder", str(root), split="val", calibration_split="train", **more)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp", "tif", "webp"])
def test_a_damaged_file_is_named_before_a_run_starts(tmp_path, kind):
    jpeg(tmp_path / "val" / "a" / f"whole.{kind}")
    path = jpeg(tmp_path / "val" / "a" / f"bad.{kind}")
    for message in damage(path):
        with pytest.raises(DamagedImage, match=rf"bad\.{kind} .*{message}") as raised:
            drawn(folder_of(tmp_path), "val", None, 0)
        assert "\n" not in str(raised.value)
    assert len(drawn(folder_of(tmp_path), "val", None, 0)) == 2


@pytest.mark.parametrize(
    "error", [SyntaxError("broken PNG"), ValueError(), struct.error("unpack"), EOFError(), MemoryError()]
)
def test_every_error_of_a_decoder_gives_a_message_with_the_file(tmp_path, monkeypatch, error):
    path = jpeg(tmp_path / "val" / "a" / "x.png")

    def fail(_):
        raise error

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", fail)
    with pytest.raises(DamagedImage, match=r"x\.png cannot be decoded \(.+\)"):
        drawn(folder_of(tmp_path), "val", None, 0)
    split = open_split(folder_of(tmp_path), "val").prepared(None, 3)
    with pytest.raises(DamagedImage, match=r"x\.png cannot be decoded \(.+\)"):
        split[0]
    assert path.exists()


@pytest.mark.parametrize("factor", [1, 3])
def test_images_above_pillow_s_limit_of_pixels_are_refused(tmp_path, monkeypatch, factor):
    jpeg(tmp_path / "val" / "a" / "large.png", (30, 10))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299 // factor)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DamagedImage, match=r"large\.png is too large"):
            drawn(folder_of(tmp_path), "val", None, 0)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 300)
    assert len(drawn(folder_of(tmp_path), "val", None, 0)) == 1


def test_damaged_images_are_left_out_on_request(tmp_path, caplog):
    for number in range(6):
        jpeg(tmp_path / "val" / "a" / f"{number}.png")
    (tmp_path / "val" / "a" / "3.png").write_bytes(b"no image")
    data = folder_of(tmp_path)
    with pytest.raises(DamagedImage, match=r"3\.png .*; data\.damaged=skip leaves such files out"):
        drawn(data, "val", None, 0)
    skipping = folder_of(tmp_path, damaged=Damaged.skip)
    split = drawn(skipping, "val", None, 0, decode=False)
    assert (len(split), split.damaged) == (5, 1)
    assert "1 of 6 images left out" in caplog.text and "3.png cannot be decoded" in caplog.text
    (tmp_path / "val" / "a" / "3.png").unlink()
    assert drawn(data, "val", None, 0).digest == split.digest
    for path in (tmp_path / "val" / "a").iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"4 more of 5 images have faults; no image is left"):
        drawn(skipping, "val", None, 0)


def test_files_with_any_bytes_in_their_names_are_read_and_named(tmp_path):
    folder = tmp_path / "val" / os.fsdecode(b"caf\xe9")
    path = jpeg(folder / os.fsdecode(b"\xff.png"))
    split = drawn(folder_of(tmp_path), "val", None, 0)
    assert len(split.digest) == 64
    assert split.prepared(np.asarray, 3)[0][0].shape == (64, 64, 3)
    path.write_bytes(b"no image")
    with pytest.raises(DamagedImage) as raised:
        drawn(folder_of(tmp_path), "val", None, 0)
    assert r"caf\xe9/\xff.png cannot be decoded" in str(raised.value)
    assert str(raised.value).encode()  # can be printed


def test_names_are_printed_in_one_line(tmp_path):
    path = jpeg(tmp_path / "val" / "a" / "x\n\x1b[2J\u202e.png")
    path.write_bytes(b"no image")
    with pytest.raises(DamagedImage) as raised:
        drawn(folder_of(tmp_path), "val", None, 0)
    assert r"a/x\n\x1b[2J\u202e.png cannot be decoded" in str(raised.value)
    for name in ("été.png", "画像\u3000.png", "a\u200cb.png"):  # printed unchanged
        assert shown(name) == name
