"""Convolution as matrix products of patches: a block of images at a time on each thread, small enough to stay in cache.

The patches of a block form a matrix (taps, rows): tap (c, k, l) of every patch side by side. At stride 1 such a row is
made of whole runs of the image's rows, so that laying patches out is copying, the weights (O, taps) can be used as
they lie, and the products are planes of y: nothing is ever transposed.
"""
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, maps, single_threaded_blas, threads, total

Floats = NDArray[Any]
ROWS = 512  # patches in one product, where the batch has as many: with fewer, BLAS is busier packing than multiplying


def _pad_image(x: Floats, pad: int, image: Floats) -> None:
    """image[c, i + pad, j + pad] = x[c, i, j]; zero around it."""
    image[:] = 0
    for c in range(x.shape[0]):
        for i in range(x.shape[1]):
            for j in range(x.shape[2]):
                image[c, i + pad, j + pad] = x[c, i, j]


def _lay_out(image: Floats, kernel: Any, out: Any, stride: int, first: int, patches: Floats) -> None:
    """patches[(c, k, l), first + (i, j)] = image[c, i·stride + k, j·stride + l]."""
    tap = 0
    for c in range(image.shape[0]):
        for k in range(kernel[0]):
            for m in range(kernel[1]):
                for i in range(out[0]):
                    run, row = patches[tap, first + i * out[1] :], image[c, i * stride + k, m:]
                    if stride == 1:  # said apart, so that it becomes a vector copy
                        for j in range(out[1]):
                            run[j] = row[j]
                    else:
                        for j in range(out[1]):
                            run[j] = row[j * stride]
                tap += 1


def _add_back(patches: Floats, kernel: Any, out: Any, stride: int, first: int, image: Floats) -> None:
    """The transpose of `_lay_out`: every pixel of `image` (written) collects what the patches hold for it."""
    image[:] = 0
    tap = 0
    for c in range(image.shape[0]):
        for k in range(kernel[0]):
            for m in range(kernel[1]):
                for i in range(out[0]):
                    run, row = patches[tap, first + i * out[1] :], image[c, i * stride + k, m:]
                    if stride == 1:
                        for j in range(out[1]):
                            row[j] += run[j]
                    else:
                        for j in range(out[1]):
                            row[j * stride] += run[j]
                tap += 1


def _conv2d_forward(
    x: Floats, w: Floats, b: Floats, kernel: Any, out: Any, stride: int, pad: int, block: int,
    images: Floats, patches: Floats, products: Floats, y: Floats
) -> None:
    """x (N, C, H, W), w (groups, O/groups, taps), y (N, O, pixels). The rest is scratch, one row for each thread."""
    groups, width, taps = w.shape
    team, channels, pixels = images.shape[0], images.shape[1], y.shape[2]
    for t in prange(team):
        stop = x.shape[0] * (t + 1) // team
        for begin in range(x.shape[0] * t // team, stop, block):
            count = min(block, stop - begin)
            rows = count * pixels
            patch = patches[t, : taps * rows].reshape(taps, rows)
            product = products[t, : width * rows].reshape(width, rows)
            for g in range(groups):
                for n in range(count):
                    pad_image(x[begin + n, g * channels : (g + 1) * channels], pad, images[t])
                    lay_out(images[t], kernel, out, stride, n * pixels, patch)
                np.dot(w[g], patch, product)
                for n in range(count):
                    for o in range(width):
                        bias = b[g * width + o]
                        for p in range(pixels):
                            y[begin + n, g * width + o, p] = product[o, n * pixels + p] + bias


def _conv2d_backward_weight(
    dy: Floats, x: Floats, kernel: Any, out: Any, stride: int, pad: int, block: int,
    images: Floats, patches: Floats, products: Floats, partial: Floats, dw: Floats, db: Floats
) -> None:
    """dy (N, O, pixels). Every thread adds up its own images, in dw[t] (groups, taps, O/groups) and db[t] (O,)."""
    _, groups, taps, width = dw.shape
    team, channels, pixels = images.shape[0], images.shape[1], dy.shape[2]
    for t in prange(team):
        dw[t] = 0
        db[t] = 0
        stop = x.shape[0] * (t + 1) // team
        for begin in range(x.shape[0] * t // team, stop, block):
            count = min(block, stop - begin)
            rows = count * pixels
            patch = patches[t, : taps * rows].reshape(taps, rows)
            product = products[t, : width * rows].reshape(width, rows)
            for g in range(groups):
                for n in range(count):
                    pad_image(x[begin + n, g * channels : (g + 1) * channels], pad, images[t])
                    lay_out(images[t], kernel, out, stride, n * pixels, patch)
                    for o in range(width):
                        for p in range(pixels):
                            product[o, n * pixels + p] = dy[begin + n, g * width + o, p]
                        db[t, g * width + o] += total(dy[begin + n, g * width + o])
                np.dot(patch, product.T, partial[t])
                dw[t, g] += partial[t]


def _conv2d_backward_data(
    dy: Floats, w: Floats, kernel: Any, out: Any, stride: int, pad: int, block: int,
    images: Floats, patches: Floats, products: Floats, dx: Floats
) -> None:
    """dy (N, O, pixels), w (groups, O/groups, taps), dx (N, C, H, W)."""
    groups, width, taps = w.shape
    team, channels, pixels = images.shape[0], images.shape[1], dy.shape[2]
    for t in prange(team):
        stop = dx.shape[0] * (t + 1) // team
        for begin in range(dx.shape[0] * t // team, stop, block):
            count = min(block, stop - begin)
            rows = count * pixels
            patch = patches[t, : taps * rows].reshape(taps, rows)
            product = products[t, : width * rows].reshape(width, rows)
            for g in range(groups):
                for n in range(count):
                    for o in range(width):
                        for p in range(pixels):
                            product[o, n * pixels + p] = dy[begin + n, g * width + o, p]
                np.dot(w[g].T, product, patch)
                for n in range(count):
                    add_back(patch, kernel, out, stride, n * pixels, images[t])
                    for c in range(channels):
                        for i in range(dx.shape[2]):
                            for j in range(dx.shape[3]):
                                dx[begin + n, g * channels + c, i, j] = images[t, c, i + pad, j + pad]


pad_image, lay_out, add_back = inlined(_pad_image), inlined(_lay_out), inlined(_add_back)
_forward = compiled(_conv2d_forward)
_backward_weight = compiled(_conv2d_backward_weight)
_backward_data = compiled(_conv2d_backward_data)


class _Plan(NamedTuple):
    """How the scratch memory is divided, each part with a row for every thread; and images in a block."""

    images: tuple[int, ...]  # one padded image (C/groups, H, W)
    patches: tuple[int, ...]  # the patches of a block
    products: tuple[int, ...]  # their outputs
    partial: tuple[int, ...]  # the weight gradient of a block
    dw: tuple[int, ...]  # the weight gradient of a thread
    db: tuple[int, ...]
    block: int


def _plan(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: int, pad: int) -> _Plan:
    n, c, h, width = x
    o, channels, kh, kw = w
    team, pixels, groups, taps = threads(), y[2] * y[3], c // channels, channels * kh * kw
    block = min(-(-ROWS // pixels), -(-n // team))
    size = (max(h + 2 * pad, (y[2] - 1) * stride + kh), max(width + 2 * pad, (y[3] - 1) * stride + kw))
    return _Plan(
        (team, channels, *size), (team, taps * block * pixels), (team, o // groups * block * pixels),
        (team, taps, o // groups), (team, groups, taps, o // groups), (team, o), block,
    )


def _divide(scratch: Floats, plan: _Plan) -> list[Floats]:
    parts, start = [], 0
    for shape in plan[:-1]:
        stop = start + int(np.prod(shape))
        parts.append(scratch[start:stop].reshape(shape))
        start = stop
    return parts


def conv2d_scratch(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: int, pad: int) -> int:
    return sum(int(np.prod(shape)) for shape in _plan(x, w, y, stride, pad)[:-1])


def conv2d_forward(
    x: Floats, w: Floats, b: Floats, stride: int, pad: int, groups: int, scratch: Floats, y: Floats
) -> None:
    single_threaded_blas()
    plan = _plan(x.shape, w.shape, y.shape, stride, pad)
    images, patches, products, *_ = _divide(scratch, plan)
    _forward(
        x, _rows(w, groups), b, w.shape[2:], y.shape[2:], stride, pad, plan.block,
        images, patches, products, maps(y),
    )


def conv2d_backward_weight(
    dy: Floats, x: Floats, stride: int, pad: int, groups: int, scratch: Floats, dw: Floats, db: Floats
) -> None:
    single_threaded_blas()
    plan = _plan(x.shape, dw.shape, dy.shape, stride, pad)
    images, patches, products, partial, dws, dbs = _divide(scratch, plan)
    _backward_weight(
        maps(dy), x, dw.shape[2:], dy.shape[2:], stride, pad, plan.block,
        images, patches, products, partial, dws, dbs,
    )
    for g, rows in enumerate(_rows(dw, groups)):
        np.sum(dws[:, g].swapaxes(1, 2), axis=0, out=rows)
    np.sum(dbs, axis=0, out=db)


def conv2d_backward_data(
    dy: Floats, w: Floats, stride: int, pad: int, groups: int, scratch: Floats, dx: Floats
) -> None:
    single_threaded_blas()
    plan = _plan(dx.shape, w.shape, dy.shape, stride, pad)
    images, patches, products, *_ = _divide(scratch, plan)
    _backward_data(
        maps(dy), _rows(w, groups), w.shape[2:], dy.shape[2:], stride, pad, plan.block,
        images, patches, products, dx,
    )


def _rows(w: Floats, groups: int) -> Floats:
    """(O, C/groups, KH, KW) as (groups, O/groups, taps)."""
    return np.reshape(w, (groups, w.shape[0] // groups, -1), copy=False)
