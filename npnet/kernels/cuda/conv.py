"""Convolution as an implicit matrix product: the patches that im2col would lay out are read from the image itself.

Forward the product is (outputs × taps) times (taps × pixels), one tap being one channel at one place of the kernel, the
pixels those of all images. The gradient of the data is (inputs × taps) times (taps × pixels), a tap being one output
channel at one place; that of the weights (outputs × pixels) times (pixels × taps), its long sums over pixels cut into
parts (`product.multiply`). Each group is a product of its own.

The kernel's size is known when a kernel is compiled, so that taps are told apart without division.
"""
from collections.abc import Sequence
from functools import cache
from typing import Any

from .activation import relu_backward
from .launch import inlined, launch, split
from .product import Product, multiply
from .reductions import SUM_THREADS, sums_of_maps

Device = Any


def conv2d_forward(
    x: Device, w: Device, b: Device, stride: int, pad: int, groups: int, rectify: bool, y: Device
) -> None:
    (n, c, h, width), (_, o, oh, ow), (kh, kw) = x.shape, y.shape, w.shape[2:]
    g = (c // groups, o // groups, h, width, oh, ow, stride, pad, int(rectify))
    multiply(_forward(kh, kw), w, x, b, y, g, (o // groups, n * oh * ow, c // groups * kh * kw), groups)


def conv2d_backward_weight(dy: Device, x: Device, stride: int, pad: int, groups: int, dw: Device, db: Device) -> None:
    (n, c, h, width), (_, o, oh, ow), (kh, kw) = x.shape, dy.shape, dw.shape[2:]
    g = (c // groups, o // groups, h, width, oh, ow, stride, pad, 0)
    multiply(_weight(kh, kw), dy, x, db, dw, g, (o // groups, c // groups * kh * kw, n * oh * ow), groups)
    launch(sums_of_maps, o, SUM_THREADS, dy, db)


def conv2d_backward_data(dy: Device, w: Device, stride: int, pad: int, groups: int, dx: Device) -> None:
    _backward_data(dy, w, stride, pad, groups, dx, add=False)


def _backward_data(dy: Device, w: Device, stride: int, pad: int, groups: int, dx: Device, add: bool) -> None:
    (n, c, h, width), (_, o, oh, ow), (kh, kw) = dx.shape, dy.shape, w.shape[2:]
    g = (c // groups, o // groups, h, width, oh, ow, stride, pad, int(add))
    multiply(_data(kh, kw), w, dy, w, dx, g, (c // groups, n * h * width, o // groups * kh * kw), groups)


def conv1x1_forward(
    x: Device, ws: Sequence[Device], bs: Sequence[Device], rectify: bool, ys: Sequence[Device]
) -> None:
    for w, b, y in zip(ws, bs, ys, strict=True):
        conv2d_forward(x, w, b, 1, 0, 1, rectify, y)


def conv1x1_backward_weight(dys: Sequence[Device], x: Device, dws: Sequence[Device], dbs: Sequence[Device]) -> None:
    for dy, dw, db in zip(dys, dws, dbs, strict=True):
        conv2d_backward_weight(dy, x, 1, 0, 1, dw, db)


def conv1x1_backward_data(
    dys: Sequence[Device], ws: Sequence[Device], add: bool, rectified: Device | None, dx: Device
) -> None:
    for i, (dy, w) in enumerate(zip(dys, ws, strict=True)):
        _backward_data(dy, w, 1, 0, 1, dx, add=add or i > 0)
    if rectified is not None:
        relu_backward(dx, rectified, dx)


# In what follows g = (C/groups, O/groups, H, W, OH, OW, stride, pad, a switch), channels are counted within their
# group, and (i, j) is a pixel of the output, (k, l) of the kernel.


def _channel(m: int, g: Any) -> Any:
    return m, 0, 0


def _output(n: int, g: Any) -> Any:
    """Image, i, j."""
    rest, j = split(n, g[5])
    image, i = split(rest, g[4])
    return image, i, j


@cache
def _tap(kh: int, kw: int) -> Any:
    def tap(t: int, g: Any) -> Any:
        """Channel, k, l."""
        rest, m = split(t, kw)
        c, k = split(rest, kh)
        return c, k, m

    return tap


@inlined
def _read_by(x: Any, out: Any, tap: Any, group: int, g: Any) -> Any:
    """The pixel that an output reads through a tap; 0 outside the image."""
    y, z = out[1] * g[6] - g[7] + tap[1], out[2] * g[6] - g[7] + tap[2]
    if y < 0 or y >= g[2] or z < 0 or z >= g[3]:
        return x.dtype.type(0)
    return x[out[0], group * g[0] + tap[0], y, z]


@cache
def _forward(kh: int, kw: int) -> Product:
    def weight(w: Any, output: Any, tap: Any, group: int, g: Any) -> Any:
        return w[group * g[1] + output[0], tap[0], tap[1], tap[2]]

    def patch(x: Any, tap: Any, out: Any, group: int, g: Any) -> Any:
        return _read_by(x, out, tap, group, g)

    def put(y: Any, b: Any, output: Any, out: Any, value: Any, group: int, g: Any) -> None:
        value += b[group * g[1] + output[0]]
        if g[8] and value < 0:  # NaN stays
            value = y.dtype.type(0)
        y[out[0], group * g[1] + output[0], out[1], out[2]] = value

    return Product(_channel, _tap(kh, kw), _output, weight, patch, put, a_along=True, b_along=False)


@cache
def _weight(kh: int, kw: int) -> Product:
    def gradient(dy: Any, output: Any, out: Any, group: int, g: Any) -> Any:
        return dy[out[0], group * g[1] + output[0], out[1], out[2]]

    def patch(x: Any, out: Any, tap: Any, group: int, g: Any) -> Any:
        return _read_by(x, out, tap, group, g)

    def put(dw: Any, nothing: Any, output: Any, tap: Any, value: Any, group: int, g: Any) -> None:
        dw[group * g[1] + output[0], tap[0], tap[1], tap[2]] = value

    return Product(_channel, _output, _tap(kh, kw), gradient, patch, put, a_along=True, b_along=True)


@cache
def _data(kh: int, kw: int) -> Product:
    def pixel(n: int, g: Any) -> Any:
        """Image, row and column of the input."""
        rest, z = split(n, g[3])
        image, y = split(rest, g[2])
        return image, y, z

    def weight(w: Any, channel: Any, tap: Any, group: int, g: Any) -> Any:
        return w[group * g[1] + tap[0], channel[0], tap[1], tap[2]]

    def gradient(dy: Any, tap: Any, pixel: Any, group: int, g: Any) -> Any:
        """Of the output that reads the pixel through this tap; 0 if none does."""
        i, j = pixel[1] + g[7] - tap[1], pixel[2] + g[7] - tap[2]
        if i < 0 or j < 0:
            return dy.dtype.type(0)
        (i, between), (j, between_too) = split(i, g[6]), split(j, g[6])
        if between or between_too or i >= g[4] or j >= g[5]:
            return dy.dtype.type(0)
        return dy[pixel[0], group * g[1] + tap[0], i, j]

    def put(dx: Any, nothing: Any, channel: Any, pixel: Any, value: Any, group: int, g: Any) -> None:
        c = group * g[0] + channel[0]
        if g[8]:  # what other convolutions have written is added to
            value += dx[pixel[0], c, pixel[1], pixel[2]]
        dx[pixel[0], c, pixel[1], pixel[2]] = value

    return Product(_channel, _tap(kh, kw), pixel, weight, gradient, put, a_along=False, b_along=False)
