"""Pooling. AlexNet §3.4.

The largest of a window is the largest of its rows' largest, as its sum is that of its rows' sums; `windows` tells how
many maps go through one loop.
"""
from typing import Any

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, pick, planes, serial, threads
from .windows import PIXELS, place, sum_windows, sum_windows_back, take_out

Floats = NDArray[Any]
Places = NDArray[Any]


def _larger_of_two(one: Floats, other: Floats, step: Any, best: Floats, at: Places) -> None:
    """The larger one, or NaN, and its place: 0 or `step`. Of equal ones the first."""
    for p in range(best.size):
        v, old = other[p], one[p]
        take = (v > old) | ((v != v) & (old == old))
        best[p] = v if take else old
        at[p] = step if take else np.int32(0)


def _larger_right(others: Floats, step: Any, best: Floats, at: Places) -> None:
    """Where another is larger than the best so far, it takes its place."""
    for p in range(best.size):
        v, old = others[p], best[p]
        take = (v > old) | ((v != v) & (old == old))
        best[p] = v if take else old
        at[p] = step if take else at[p]


def _lower_of_two(
    one: Floats, one_at: Places, other: Floats, other_at: Places, step: Any, best: Floats, at: Places
) -> None:
    """`_larger_of_two`, which are themselves the largest of a row, at places of it."""
    for p in range(best.size):
        v, old = other[p], one[p]
        take = (v > old) | ((v != v) & (old == old))
        best[p] = v if take else old
        at[p] = other_at[p] + step if take else one_at[p]


def _lower(others: Floats, others_at: Places, step: Any, best: Floats, at: Places) -> None:
    """`_larger_right`, likewise. (One loop for both cases has two names for one array, and no vector instructions.)"""
    for p in range(best.size):
        v, old = others[p], best[p]
        take = (v > old) | ((v != v) & (old == old))
        best[p] = v if take else old
        at[p] = others_at[p] + step if take else at[p]


def _move(places: Places, first: Any, stride: Any) -> None:
    for j in range(places.size):
        places[j] += first + np.int32(j) * stride


def _any(y: Floats, value: Any) -> bool:
    found = False
    for p in range(y.size):
        found |= y[p] == value
    return found


def _max_planes(x: Floats, size: int, stride: int, pad: int, argmax: Places, y: Floats) -> None:
    """x (planes, H, W), y and argmax (planes, OH, OW)."""
    width, more = x.shape[2], min(1, size - 1)  # of size 1, a pixel is compared with itself
    rows, columns = (y.shape[1] - 1) * stride + size, (y.shape[2] - 1) * stride + size
    room = np.full((max(1, PIXELS // (rows * columns)), rows, columns), -np.inf, x.dtype)
    pixels = room.reshape(-1)
    best, largest = np.zeros_like(pixels), np.zeros_like(pixels)
    at, there = np.zeros(pixels.size, np.int32), np.zeros(pixels.size, np.int32)
    for first in range(0, x.shape[0], room.shape[0]):
        count = min(room.shape[0], x.shape[0] - first)
        n = count * rows * columns
        for plane in range(count):
            place(x[first + plane], pad, room[plane])
        larger_of_two(pixels, pixels[more:], np.int32(1), best[: n - more], at[: n - more])
        for k in range(2, size):
            larger_right(pixels[k:], np.int32(k), best[: n - k], at[: n - k])
        step = more * columns
        lower_of_two(best, at, best[step:], at[step:], np.int32(width), largest[: n - step], there[: n - step])
        for m in range(2, size):
            step = m * columns
            lower(best[step:], at[step:], np.int32(m * width), largest[: n - step], there[: n - step])
        for plane in range(count):
            for i in range(y.shape[1]):
                start = (plane * rows + i * stride) * columns
                pick(largest[start:], stride, y[first + plane, i])
                pick(there[start:], stride, argmax[first + plane, i])
                move(argmax[first + plane, i], np.int32((i * stride - pad) * width - pad), np.int32(stride))
        if pad > 0 and has(y[first : first + count].reshape(-1), -np.inf):  # then it may be the margin that is meant
            for plane in range(first, first + count):
                for i in range(y.shape[1]):
                    for j in range(y.shape[2]):
                        if y[plane, i, j] == -np.inf:
                            argmax[plane, i, j] = max(i * stride - pad, 0) * width + max(j * stride - pad, 0)


def _max_pool_forward(x: Floats, size: int, stride: int, pad: int, team: int, argmax: Places, y: Floats) -> None:
    for t in prange(team):
        first, last = x.shape[0] * t // team, x.shape[0] * (t + 1) // team
        max_planes(x[first:last], size, stride, pad, argmax[first:last], y[first:last])


def _scatter(dy: Floats, argmax: Places, dx: Floats) -> None:
    dx[:] = 0
    for p in range(dy.size):
        dx[argmax[p]] += dy[p]


def _max_pool_backward(dy: Floats, argmax: Places, dx: Floats) -> None:
    """dy and argmax (N·C, OH·OW), dx (N·C, H·W)."""
    for plane in prange(dx.shape[0]):
        scatter(dy[plane], argmax[plane], dx[plane])


def _counted(i: int, size: int, stride: int, pad: int, count_pad: bool, length: int) -> int:
    """How many pixels of window i along one axis are counted."""
    margin = pad if count_pad else 0
    return min(i * stride - pad + size, length + margin) - max(i * stride - pad, -margin)


def _share(length: int, size: int, stride: int, pad: int, count_pad: bool, shares: Floats) -> None:
    """One over the pixels that each window counts along one axis."""
    for i in range(shares.size):
        shares[i] = 1 / counted(i, size, stride, pad, count_pad, length)


def _shares(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> tuple[Floats, Floats]:
    """`_share` down and along maps x (planes, H, W) with windows y (planes, OH, OW)."""
    down, along = np.empty(y.shape[1], x.dtype), np.empty(y.shape[2], x.dtype)
    share(x.shape[1], size, stride, pad, count_pad, down)
    share(x.shape[2], size, stride, pad, count_pad, along)
    return down, along


def _average_planes(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> None:
    """x (planes, H, W), y (planes, OH, OW)."""
    rows, columns = (y.shape[1] - 1) * stride + size, (y.shape[2] - 1) * stride + size
    down, along = shares(x, size, stride, pad, count_pad, y)
    room = np.zeros((max(1, PIXELS // (rows * columns)), rows, columns), x.dtype)
    pixels = room.reshape(-1)
    across, total = np.zeros_like(pixels), np.zeros_like(pixels)
    for first in range(0, x.shape[0], room.shape[0]):
        count = min(room.shape[0], x.shape[0] - first)
        n = count * rows * columns
        for plane in range(count):
            place(x[first + plane], pad, room[plane])
        sum_windows(pixels[:n], size, columns, across[:n], total[:n])
        for plane in range(count):
            for i in range(y.shape[1]):
                pick(total[(plane * rows + i * stride) * columns :], stride, y[first + plane, i])
                for j in range(y.shape[2]):
                    y[first + plane, i, j] *= down[i] * along[j]


def _average_pool_forward(
    x: Floats, size: int, stride: int, pad: int, count_pad: bool, team: int, y: Floats
) -> None:
    for t in prange(team):
        first, last = x.shape[0] * t // team, x.shape[0] * (t + 1) // team
        average_planes(x[first:last], size, stride, pad, count_pad, y[first:last])


def _average_planes_back(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> None:
    """dy (planes, OH, OW), dx (planes, H, W). The forward pass from its end to its beginning."""
    rows, columns = (dy.shape[1] - 1) * stride + size, (dy.shape[2] - 1) * stride + size
    down, along = shares(dx, size, stride, pad, count_pad, dy)
    room = np.zeros((max(1, PIXELS // (rows * columns)), rows, columns), dx.dtype)
    pixels = room.reshape(-1)
    across, total = np.zeros_like(pixels), np.zeros_like(pixels)
    shared = total.reshape(room.shape)
    for first in range(0, dy.shape[0], room.shape[0]):
        count = min(room.shape[0], dy.shape[0] - first)
        n = count * rows * columns
        for plane in range(count):
            for i in range(dy.shape[1]):
                for j in range(dy.shape[2]):
                    room[plane, i * stride, j * stride] = dy[first + plane, i, j] * (down[i] * along[j])
        sum_windows_back(pixels[:n], size, columns, across[:n], total[:n])
        for plane in range(count):
            take_out(shared[plane], pad, dx[first + plane])


def _average_pool_backward(
    dy: Floats, size: int, stride: int, pad: int, count_pad: bool, team: int, dx: Floats
) -> None:
    for t in prange(team):
        first, last = dy.shape[0] * t // team, dy.shape[0] * (t + 1) // team
        average_planes_back(dy[first:last], size, stride, pad, count_pad, dx[first:last])


counted, share, shares = inlined(_counted), inlined(_share), inlined(_shares)
larger_of_two, larger_right, lower_of_two = inlined(_larger_of_two), inlined(_larger_right), inlined(_lower_of_two)
lower, move, has = inlined(_lower), inlined(_move), serial(_any)
scatter = serial(_scatter)
max_planes, average_planes, average_planes_back = (
    serial(_max_planes), serial(_average_planes), serial(_average_planes_back))
_max_forward = compiled(_max_pool_forward)
_max_backward = compiled(_max_pool_backward)
_average_forward = compiled(_average_pool_forward)
_average_backward = compiled(_average_pool_backward)


def max_pool_forward(x: Floats, size: int, stride: int, pad: int, argmax: Places, y: Floats) -> None:
    _max_forward(planes(x), size, stride, pad, threads(), planes(argmax), planes(y))


def max_pool_backward(dy: Floats, argmax: Places, dx: Floats) -> None:
    count = dx.shape[0] * dx.shape[1]
    _max_backward(*(np.reshape(a, (count, -1), copy=False) for a in (dy, argmax, dx)))


def average_pool_forward(x: Floats, size: int, stride: int, pad: int, count_pad: bool, y: Floats) -> None:
    _average_forward(planes(x), size, stride, pad, count_pad, threads(), planes(y))


def average_pool_backward(dy: Floats, size: int, stride: int, pad: int, count_pad: bool, dx: Floats) -> None:
    _average_backward(planes(dy), size, stride, pad, count_pad, threads(), planes(dx))
