"""Plain loops over a row: parts of kernels."""
from typing import Any

from numpy.typing import NDArray

from .compile import serial, serial_sums

Floats = NDArray[Any]


def _set_all(x: Floats, value: Any) -> None:
    for p in range(x.size):
        x[p] = value


def _add(source: Floats, target: Floats) -> None:
    for p in range(source.size):
        target[p] += source[p]


def _add_two(one: Floats, other: Floats, total: Floats) -> None:
    for p in range(total.size):
        total[p] = one[p] + other[p]


def _times(x: Floats, factors: Floats) -> None:
    for p in range(x.size):
        x[p] *= factors[p]


def _multiply(x: Floats, factors: Floats, y: Floats) -> None:
    for p in range(x.size):
        y[p] = x[p] * factors[p]


def _total(row: Floats) -> Any:
    """Σ row."""
    s = row.dtype.type(0)
    for p in range(row.size):  # `for value in row` would be twelve times as slow
        s += row[p]
    return s


def _largest(row: Floats) -> Any:
    """Of numbers; if there are NaN among them, one of these or a number."""
    largest = row[0]
    for p in range(1, row.size):
        largest = max(largest, row[p])
    return largest


add, add_two, set_all = serial(_add), serial(_add_two), serial(_set_all)
times, multiply, largest, total = serial(_times), serial(_multiply), serial(_largest), serial_sums(_total)
