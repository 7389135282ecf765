"""Panels: some columns of a matrix brought close together, as `tile`s read them again and again.

A panel is VECTORS · lanes columns wide, as a tile is. Several are filled at a time: rows of the matrix lie some KB
apart, each on a page of its own, and memory gives a long piece of one sooner than short pieces of several.
"""
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .compile import inlined, serial
from .team import piece
from .tile import STEPS, VECTORS, in_vector
from .vectors import move_plus, will_read, will_write

Floats = NDArray[Any]
Numbers = NDArray[np.int64]


def _move_columns_plus(
    source: Floats, start: int, value: Any, least: Any, target: Floats, place: int, count: int
) -> None:
    """`move_plus` of a panel's columns, or fewer. Where the compiler knows how many, it takes 6 ns in place of 14."""
    if count == VECTORS * in_vector(source):
        move_plus(source, start, value, least, target, place, VECTORS * in_vector(source))
    else:
        move_plus(source, start, value, least, target, place, count)


def _move_columns(source: Floats, start: int, target: Floats, place: int, count: int) -> None:
    """`move`, likewise."""
    move_columns_plus(source, start, None, None, target, place, count)


move_columns_plus, move_columns = inlined(_move_columns_plus), inlined(_move_columns)


def _fill_panels(
    x: Floats, there: Any, pixels: int, tap: int, taps: int, begin: int, end: int, wide: int, panels: Floats
) -> None:
    """panels[q, t, v] = x[tap + t, begin + q · wide + v] of so many taps, and of pixels, counted through all images, as
    far as `end`; a panel has room for STEPS taps.

    x, panels : of one dimension.  there : the first map, and how many maps the next image's is away.
    """
    p = begin
    while p < end:
        n, first, count = piece(p, end, pixels)
        start, skip = (there[0] + n * there[1] + tap) * pixels + first, p - begin
        for t in range(taps):
            for panel in range(skip // wide, -(-(skip + count) // wide)):
                left, right = max(skip, panel * wide), min(skip + count, (panel + 1) * wide)
                move_columns(x, start + t * pixels + left - skip, panels, (panel * STEPS + t - panel) * wide + left,
                             right - left)
        p += count


def _ask_for_panels(
    x: Floats, there: Any, pixels: int, tap: int, taps: int, begin: int, end: int, write: bool
) -> None:
    """For what `fill_panels` is going to read, or what is going to be written there."""
    p = begin
    while p < end and taps > 0:
        n, first, count = piece(p, end, pixels)
        for t in range(tap, tap + taps):
            start = (there[0] + n * there[1] + t) * pixels + first
            if write:
                will_write(x, start, count)
            else:
                will_read(x, start, count)
        p += count


fill_panels, ask_for_panels = serial(_fill_panels), serial(_ask_for_panels)
