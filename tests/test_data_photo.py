"""Photos of every kind become the same upright square of red, green and blue."""
import errno
import io
import os
import struct
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from npnet.data import DataError, photo


def picture(width=60, height=40):
    """Red grows to the right, green downwards."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(1, width - 1), y * 255 // max(1, height - 1), 0 * x + 90], axis=-1).astype(np.uint8)


def saved(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def pixels(content, **options):
    return np.asarray(photo.read(content, "a photo", **options)).astype(int)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "TIFF", "PPM", "GIF"])
def test_every_format(kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    there = pixels(saved(Image.fromarray(picture()), kind, **options))
    assert there.shape == (40, 60, 3)
    assert abs(there - picture()).max() <= (40 if kind == "GIF" else 0)  # GIF has 256 colours


@pytest.mark.parametrize("mode", ["L", "1", "LA", "RGBA", "P", "PA", "CMYK", "YCbCr", "I;16"])
def test_every_mode_becomes_three_colours(mode):
    levels = np.where(picture()[..., 0] > 127, 200, 40).astype(np.uint8)
    if mode == "I;16":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    elif mode == "PA":
        image = Image.fromarray(np.dstack([levels, levels, levels, 0 * levels + 255])).convert("PA")
    else:
        image = Image.fromarray(levels).convert(mode)
    kind = {"CMYK": "TIFF", "YCbCr": "JPEG", "PA": "TIFF"}.get(mode, "PNG")
    if mode == "PA":
        image = image.convert("RGBA")
        kind = "PNG"
    there = pixels(saved(image, kind))
    expected = np.repeat((np.where(levels > 127, 255, 0) if mode == "1" else levels)[..., None], 3, axis=2)
    assert there.shape == (40, 60, 3)
    bright = there[:, 40:].mean() - there[:, :20].mean()
    assert bright > 100
    if mode not in ("CMYK", "YCbCr", "1"):
        assert abs(there - expected).max() <= 1


def test_of_16_bits_the_upper_8_are_taken_however_dark_it_is():
    levels = np.full((4, 5), 200, np.uint16)
    assert (pixels(saved(Image.fromarray(levels), "PNG")) == 0).all()
    assert (pixels(saved(Image.fromarray(levels * 256), "PNG")) == 200).all()
    assert (pixels(saved(Image.fromarray((levels * 256).astype(np.int32)), "TIFF")) == 200).all()


@pytest.mark.parametrize(("values", "says"), [
    (np.full((4, 5), 0.5, np.float32), "its pixels are fractions"),
    (np.full((4, 5), 70_000, np.int32), "more than 16 bits"),
])
def test_what_brightness_nobody_knows_is_no_photo(values, says):
    with pytest.raises(DataError, match=says):
        pixels(saved(Image.fromarray(values), "TIFF"))


def test_a_wrong_note_of_the_camera_costs_no_photo():
    """Two entries: compression, a number, as text; and that the camera was held upright."""
    entries = struct.pack("<HHI4s", 0x0103, 2, 4, b"abc\0") + struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entries + bytes(4)
    held = Image.fromarray(np.ascontiguousarray(np.rot90(picture())))
    np.testing.assert_array_equal(pixels(saved(held, "PNG", exif=exif)), picture())
    assert pixels(saved(held, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff")).shape == (60, 40, 3)


def test_what_is_transparent_lies_on_white():
    rgba = np.dstack([picture(), np.full((40, 60), 255, np.uint8)])
    rgba[:, :30, 3] = 0
    there = pixels(saved(Image.fromarray(rgba), "PNG"))
    assert (there[:, :30] == 255).all()
    np.testing.assert_array_equal(there[:, 30:], picture()[:, 30:])
    palette = Image.fromarray(picture()).quantize(8)
    palette.info["transparency"] = int(np.asarray(palette)[0, 0])
    assert (pixels(saved(palette, "PNG", transparency=palette.info["transparency"]))[0, 0] == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_it_is_turned_as_the_camera_was_held(orientation):
    undo = {1: lambda a: a, 2: lambda a: a[:, ::-1], 3: lambda a: a[::-1, ::-1], 4: lambda a: a[::-1],
            5: lambda a: a.transpose(1, 0, 2), 6: lambda a: np.rot90(a), 7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
            8: lambda a: np.rot90(a, -1)}
    held = Image.fromarray(np.ascontiguousarray(undo[orientation](picture())))
    exif = Image.Exif()
    exif[0x0112] = orientation
    np.testing.assert_array_equal(pixels(saved(held, "PNG", exif=exif)), picture())


def test_a_large_jpeg_is_read_smaller_but_not_too_small():
    content = saved(Image.fromarray(picture(1600, 1200)), "JPEG", quality=95)
    whole, part = (photo.square(photo.read(content, "a photo", least=least), 100) for least in (0, 200))
    assert min(photo.read(content, "a photo", least=200).size) < 1200
    assert min(photo.read(content, "a photo", least=200).size) >= 200
    assert abs(whole.astype(int) - part).max() <= 4


def test_the_square_is_the_middle_of_the_shorter_side_rescaled():
    """As the paper says it: first rescaled, then cropped."""
    wide = Image.fromarray(picture(90, 40))
    there = photo.square(wide, 80)
    rescaled = np.asarray(wide.resize((180, 80), Image.Resampling.BICUBIC)).transpose(2, 0, 1)
    assert there.shape == (3, 80, 80)
    assert abs(there.astype(int) - rescaled[:, :, 50:130]).max() <= 2
    squashed = photo.square(wide, 80, squash=True)
    assert squashed[0, 0, 0] <= 3
    assert squashed[0, 0, -1] >= 252


@given(width=st.integers(1, 40), height=st.integers(1, 40), side=st.integers(1, 30))
def test_any_size_becomes_the_square(width, height, side):
    image = Image.fromarray(np.full((height, width, 3), 77, np.uint8))
    for squash in (False, True):
        there = photo.square(image, side, squash)
        assert there.shape == (3, side, side)
        assert (there == 77).all()


def test_a_line_of_pixels_takes_no_memory():
    assert photo.square(Image.new("RGB", (100_000, 1), "red"), 256).shape == (3, 256, 256)


def bomb(width, height):
    """A PNG that says it is that large, in a few bytes."""
    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(bytes(10))) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("content", "says"), [
    (bomb(40_000, 40_000), "a photo: more than 134,217,728 pixels: make it smaller"),
    (bomb(12_000, 12_000), "a photo: 12,000 × 12,000 pixels, more than 134,217,728: make it smaller"),
    (b"", "a photo: cannot be read as a picture ("),
    (b"GIF89a", "a photo: cannot be read as a picture ("),
    (b"<html>not found</html>", "a photo: cannot be read as a picture ("),
    (saved(Image.fromarray(picture()), "PNG")[:100], "a photo: cannot be read as a picture ("),
    (saved(Image.fromarray(picture(400, 300)), "JPEG")[:2000], "a photo: cannot be read as a picture ("),
])
def test_what_is_no_picture_is_one_line(content, says):
    with pytest.raises(DataError) as error:
        photo.read(content, "a photo")
    assert str(error.value).startswith(says)
    assert "\n" not in str(error.value)


@given(data=st.data())
def test_no_file_makes_it_fall(data):
    kind = data.draw(st.sampled_from(["PNG", "JPEG", "GIF", "TIFF"]))
    content = bytearray(saved(Image.fromarray(picture(8, 8)), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        assert photo.read(bytes(content), "a photo").mode == "RGB"
    except DataError as error:
        assert str(error).startswith("a photo: ")  # noqa: PT017


def test_what_is_encoded_comes_back_nearly():
    there = np.transpose(pixels(photo.encode(picture(64, 64).transpose(2, 0, 1), 92)), (2, 0, 1))
    assert abs(there - picture(64, 64).transpose(2, 0, 1)).mean() < 1.5


def test_a_picture_that_goes_on_at_an_absurd_place_is_no_error_of_the_disk(tmp_path):
    """Of a file, Pillow has the system go there; 43 in place of 42 is a TIFF of another kind, with long addresses."""
    content = bytearray(saved(Image.new("RGB", (40, 40)), "TIFF"))
    content[2] = 43
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(DataError, match="a photo: cannot be read as a picture"):
        photo.read(tmp_path / "a.tif", "a photo")


def test_what_the_disk_says_names_the_photo(monkeypatch):
    def broken(*arguments, **named):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Image, "open", broken)
    with pytest.raises(OSError, match="Input/output error: 'a photo'"):
        photo.read(b"", "a photo")


@pytest.mark.skipif(os.name == "nt", reason="the program is a script")
def test_no_program_is_begun_for_a_photo(tmp_path, monkeypatch):
    """Pillow has Ghostscript draw PostScript, whatever the file's ending is."""
    (tmp_path / "gs").write_text(f"#!/bin/sh\ntouch {tmp_path}/begun\n")
    (tmp_path / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    file = tmp_path / "a.jpg"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n%%EOF\n")
    with pytest.raises(DataError, match="a photo: cannot be read as a picture"):
        photo.read(file, "a photo")
    assert not (tmp_path / "begun").exists()


@pytest.mark.filterwarnings("default")
def test_in_several_threads_other_warnings_are_heard_afterwards():
    content = saved(Image.fromarray(picture()), "JPEG")
    photo.read(content, "a photo")  # from now on Pillow's are not
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: photo.read(content, "a photo"), range(200)))
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="heard"):
        warnings.warn("heard", stacklevel=1)
