"""One photo as the net is to see it: upright, red, green and blue, a square of so many pixels. AlexNet §2.

The shorter side is rescaled to 256 pixels, and the 256 × 256 in the middle are cut out.
"""
import errno
import io
import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.data.dataset import DataError

SIDE = 256
LARGEST = 2**27  # pixels: 400 MB as red, green and blue; while they are made of others, up to 2 GB

ENDINGS = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "DIB", "JPEG2000", "AVIF")
"""That Pillow, as it was built, may read by itself, whatever the ending says. (PostScript it has Ghostscript draw.)"""

OF_THE_PHOTO = (None, errno.ENOENT, errno.EINVAL, errno.EOVERFLOW)
"""Errors that are no disk's: the last two, where a damaged picture says that it goes on at an absurd place."""

UNHEARD = ("ignore", None, Warning, re.compile("PIL"), 0)
"""Pillow's warnings, about what it reads nevertheless."""


def read(source: Path | bytes, name: str, least: int = 0) -> Any:
    """The photo in a file, or in its bytes, as Pillow's image: red, green and blue, turned as its camera was held.

    Grey and palette become colours, four inks three lights; what is transparent lies on white; of 16 bits, the upper
    8 are taken; of several pictures, the first.

    Parameters
    ----------
    name : of the photo, in errors.
    least : of a JPEG, a half, a quarter or an eighth of its size may be read, if both sides keep so many pixels: that
        is four times as fast. 0: all of it.

    Raises
    ------
    DataError
        If it cannot be read, or has more than 134 million pixels: such a file may have been made to fill the memory.
    """
    from PIL import Image

    if UNHEARD not in warnings.filters:  # once: `catch_warnings` in several threads loses the filters of all
        warnings.filterwarnings("ignore", module="PIL")
    try:
        Image.init()
        formats = [name for name in FORMATS if name in Image.OPEN]
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            width, height = image.size
            if width * height > LARGEST:
                raise DataError(f"{name}: {width:,} × {height:,} pixels, more than {LARGEST:,}: make it smaller")
            if least:
                image.draft(None, (least, least))
            image.load()
            return _colours(_upright(image))
    except DataError:
        raise
    except Image.DecompressionBombError:
        raise DataError(f"{name}: more than {LARGEST:,} pixels: make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow's readers raise many kinds
        if isinstance(error, OSError) and error.errno not in OF_THE_PHOTO:
            error.filename = error.filename or name
            raise
        what = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{name}: cannot be read as a picture ({what})") from None


ORIENTATION = 0x0112


def _upright(image: Any) -> Any:
    """Turned by what EXIF says of the camera; as it is, where that cannot be read."""
    from PIL import Image

    turn = Image.Transpose
    ways = {2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE, 6: turn.ROTATE_270,
            7: turn.TRANSVERSE, 8: turn.ROTATE_90}
    try:
        way = ways.get(image.getexif().get(ORIENTATION))
    except Exception:  # many kinds, of what is no part of the picture
        way = None
    return image if way is None else image.transpose(way)


def _colours(image: Any) -> Any:
    from PIL import Image

    if image.mode == "F":
        raise ValueError("its pixels are fractions, of which nobody knows how bright 1 is")
    if image.mode.startswith("I"):  # grey, of 16 bits, perhaps in 32
        levels = np.asarray(image)
        if levels.min(initial=0) < 0 or levels.max(initial=0) > 65535:
            raise ValueError("its pixels have more than 16 bits")
        image = Image.fromarray((levels >> 8).astype(np.uint8))
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def square(image: Any, side: int = SIDE, squash: bool = False) -> NDArray[np.uint8]:
    """(3, side, side): the shorter side rescaled to `side`, and the centre cut out.

    squash : all of the picture instead, whatever its shape, as Caffe's tutorial does it.
    """
    from PIL import Image

    (width, height), box = image.size, None
    if not squash:
        short = min(width, height)
        box = ((width - short) / 2, (height - short) / 2, (width + short) / 2, (height + short) / 2)
    made = image.resize((side, side), Image.Resampling.BICUBIC, box)
    return np.ascontiguousarray(np.asarray(made, np.uint8).transpose(2, 0, 1))


def encode(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """(3, H, W) as a JPEG, its colours as fine as its brightness."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "JPEG", quality=quality, subsampling=0)
    return file.getvalue()
