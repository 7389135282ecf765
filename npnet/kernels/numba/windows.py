"""Sums over windows of pixels, for pooling and normalisation.

The sum of a window is the sum of its rows' sums. So every pixel first takes in the size − 1 to its right, then the sum
of each row of a window those of the rows below. Both go through several maps in one loop, without regard to where a row
or a map ends: what comes of windows that reach over an edge is never looked at, and a loop of thousands becomes vector
instructions where one of 7 or 55 pixels does not (pooling and normalisation within maps: 3 to 8 times as fast).
"""
from typing import Any

from numpy.typing import NDArray

from .compile import inlined, pick, serial

Floats = NDArray[Any]

PIXELS = 4096  # in the maps of one loop: with what is made of them, they stay in the first- and second-level cache


def _place(x: Floats, pad: int, room: Floats) -> None:
    """room[i + pad, j + pad] = x[i, j], as far as there is room."""
    columns = min(x.shape[1], room.shape[1] - pad)
    for i in range(min(x.shape[0], room.shape[0] - pad)):
        pick(x[i], 1, room[i + pad, pad : pad + columns])


def _take_out(room: Floats, pad: int, x: Floats) -> None:
    """x[i, j] = room[i + pad, j + pad], and zero where there is no such place."""
    columns, rows = min(x.shape[1], room.shape[1] - pad), min(x.shape[0], room.shape[0] - pad)
    for i in range(rows):
        pick(room[i + pad, pad:], 1, x[i, :columns])
        x[i, columns:] = 0
    x[rows:] = 0


def _add(source: Floats, target: Floats) -> None:
    for p in range(source.size):
        target[p] += source[p]


def _add_two(one: Floats, other: Floats, total: Floats) -> None:
    for p in range(total.size):
        total[p] = one[p] + other[p]


def _sum_windows(pixels: Floats, size: int, columns: int, across: Floats, total: Floats) -> None:
    """total[p] = Σ_{m,k < size} pixels[p + m · columns + k], as far as there are so many."""
    n = pixels.size
    if size == 1:
        pick(pixels, 1, total)
        return
    add_two(pixels, pixels[1:], across[: n - 1])
    for k in range(2, size):
        add(pixels[k:], across[: n - k])
    add_two(across, across[columns:], total[: n - columns])
    for step in range(2 * columns, size * columns, columns):
        add(across[step:], total[: n - step])


def _sum_windows_back(pixels: Floats, size: int, columns: int, across: Floats, total: Floats) -> None:
    """total[p] = Σ_{m,k < size} pixels[p − m · columns − k]: to whom a pixel was summed, turned round."""
    n = pixels.size
    if size == 1:
        pick(pixels, 1, total)
        return
    across[0] = pixels[0]
    add_two(pixels, pixels[1:], across[1:])
    for k in range(2, size):
        add(pixels[: n - k], across[k:])
    pick(across, 1, total[:columns])
    add_two(across, across[columns:], total[columns:])
    for step in range(2 * columns, size * columns, columns):
        add(across[: n - step], total[step:])


place, take_out, add, add_two = inlined(_place), inlined(_take_out), inlined(_add), inlined(_add_two)
sum_windows, sum_windows_back = serial(_sum_windows), serial(_sum_windows_back)
