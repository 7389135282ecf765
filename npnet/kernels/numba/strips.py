"""Strips of an image, the channels of a pixel side by side, as `winograd` transforms them; and the way back.

With a stride of s, a tap of a filter meets, of every square of s × s pixels, always the same one. So each of them can
as well be a channel of its own, of an image and a filter that are s times lower and narrower, and there is no stride.
AlexNet's first layer, 11 × 11 in steps of 4 over 3 channels, is one of 3 × 3 over 48; GoogLeNet's, 7 × 7 in steps of 2,
of 4 × 4 over 12.
"""
from typing import Any

from numpy.typing import NDArray

from .compile import serial
from .minimal import OUT
from .rows import set_all
from .team import parallel, share
from .tile import in_line, in_vector
from .turned import turn_few
from .vectors import before_line, move, transpose, transpose_groups, transpose_past

Floats = NDArray[Any]


def _read(x: Floats, shape: Any, first: int, pad: int, strip: Floats, line: int, rows: int, lanes: int) -> None:
    """strip[i, p, c] = x[c, first + i, p − pad], zero outside: `rows` rows of `line` pixels.

    x : of one dimension, channels × H × W numbers and perhaps more.  strip : of one dimension, with some to spare.
    """
    channels, height, width = shape
    for i in range(rows):
        row, here = first + i, strip[i * line * channels :]
        inside = 0 <= row < height
        set_all(here[: (pad if inside else line) * channels], 0)
        if inside:
            for c in range(0, channels, lanes):
                for p in range(0, width, lanes):
                    start, there = (c * height + row) * width + p, (pad + p) * channels + c
                    if start + (lanes - 1) * height * width + lanes <= x.size:  # it reads on where the row has ended
                        transpose(x[start:], height * width, here[there:], channels, lanes)
                    else:
                        turn_few(x[start:], height * width, here[there:], channels, lanes, min(lanes, width - p))
            set_all(here[(pad + width) * channels : line * channels], 0)


def _read_apart(
    x: Floats, shape: Any, channels: int, stride: int, first: int, pad: int, strip: Floats, line: int, rows: int,
    room: Floats, lanes: int
) -> None:
    """strip[i, p, (c, k, l)] = x[c, (first + i) · stride + k − pad, p · stride + l − pad], zero outside; and zero up to
    `channels`.

    room : for rows of the image that begin `pad` pixels before it: of those, `stride` numbers are what one pixel needs.
    """
    maps, height, width = shape
    long = line * stride
    set_all(room[: channels // stride * long], 0)
    for i in range(rows):
        for job in range(maps * stride):
            c, row, here = job // stride, (first + i) * stride + job % stride - pad, job * long
            if 0 <= row < height:
                move(x, (c * height + row) * width, room, here + pad, min(width, long - pad))
            else:
                set_all(room[here : here + long], 0)
        for c in range(0, channels, lanes):
            for p in range(0, line, lanes // stride):  # more than a row of the strip; the next one puts it right
                start, there = (c // stride * line + p) * stride, (i * line + p) * channels + c
                transpose_groups(room[start:], long, strip[there:], channels, stride, lanes)


def _write(strip: Floats, line: int, y: Floats, shape: Any, first: int, last: int, lanes: int) -> None:
    """y[o, first + i, p] = strip[i, p, o], as far as there are rows and pixels.

    What a vector writes beyond the end of a row is put right by the next row; beyond row `last` nothing may be written.
    Maps whose rows are lines of the cache, if one vector is a line, are written past the caches: GoogLeNet's first
    layer takes 15 % less.
    """
    channels, height, width = shape
    whole_lines = width % in_line(y) == 0 and before_line(y) == 0 and in_vector(y) == in_line(y)
    for o in range(0, channels, lanes):
        for i in range(min(OUT, height - first)):
            for p in range(0, width, lanes):
                start, there = (o * height + first + i) * width + p, (i * line + p) * channels + o
                if whole_lines:
                    transpose_past(strip[there:], channels, y[start:], height * width, lanes)
                elif (first + i) * width + p + lanes <= last * width:
                    transpose(strip[there:], channels, y[start:], height * width, lanes)
                else:
                    transpose(strip[there:], channels, y[start:], height * width, lanes, width - p)


def _take_apart(w: Floats, size: Any, taken: Floats, thread: int, team: int) -> None:
    """taken[o, (c, k, l), (i, j)] = w[o, c, i · stride + k, j · stride + l], zero outside and up to as many channels as
    there are.  w : (O, C, kernel²).  size : kernel, stride, ⌈kernel / stride⌉."""
    kernel, stride, few = size
    first, last = share(w.shape[0], thread, team)
    for o in range(first, last):
        set_all(taken[o].reshape(-1), 0)
        for c in range(w.shape[1]):
            for tap in range(kernel * kernel):
                row, column = tap // kernel, tap % kernel
                channel = (c * stride + row % stride) * stride + column % stride
                taken[o, channel, row // stride * few + column // stride] = w[o, c, tap]


def _put_together(taken: Floats, size: Any, w: Floats, thread: int, team: int) -> None:
    """The way back."""
    kernel, stride, few = size
    first, last = share(w.shape[0], thread, team)
    for o in range(first, last):
        for c in range(w.shape[1]):
            for tap in range(kernel * kernel):
                row, column = tap // kernel, tap % kernel
                channel = (c * stride + row % stride) * stride + column % stride
                w[o, c, tap] = taken[o, channel, row // stride * few + column // stride]


read, read_apart, write = serial(_read), serial(_read_apart), serial(_write)
take_apart, put_together = parallel(_take_apart), parallel(_put_together)
