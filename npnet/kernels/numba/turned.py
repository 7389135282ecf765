"""Maps turned over: pixel p of 16 maps (`lanes` of them) side by side, from places[p] on. So no edge of a map ends
within a vector."""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compile import serial
from .vectors import from_lanes, to_lanes

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _gather(
    x: Floats, plane: int, planes: int, numbers: int, first: int, count: int, places: Numbers, skip: int, lanes: int,
    room: Floats
) -> None:
    """room[places[skip + p] + v] = x[plane + v, first + p] for p < count and v < planes.  x : planes of `numbers`."""
    start = plane * numbers + first
    if planes == lanes and count >= lanes:
        for p in range(0, count, lanes):
            q = min(p, count - lanes)
            to_lanes(x, start + q, numbers, places, skip + q, None, room, lanes)
    elif planes == lanes:
        to_lanes(x, start, numbers, places, skip, count, room, lanes)
    else:
        for v in range(planes):
            for p in range(count):
                room[places[skip + p] + v] = x[start + v * numbers + p]


def _release(
    room: Floats, places: Numbers, count: int, lanes: int, x: Floats, plane: int, numbers: int, first: int
) -> None:
    """The way back, of `lanes` maps and as many pixels or more."""
    start = plane * numbers + first
    for p in range(0, count, lanes):
        q = min(p, count - lanes)
        from_lanes(room, places, q, x, start + q, numbers, lanes)


def _turn_few(source: Floats, step: int, target: Floats, stride: int, rows: int, columns: int) -> None:
    """`transpose` of what is no square of `lanes`. Written out beside a loop of squares, it cost each of them a hundred
    cycles: what they keep in registers was kept in memory."""
    for i in range(rows):
        for j in range(columns):
            target[j * stride + i] = source[i * step + j]


gather, release, turn_few = serial(_gather), serial(_release), serial(_turn_few)
