"""Maps as `sweeps` and `passing` walk over them: which rows, how many at a time, of how many maps.

Pooling is made of it, and normalisation within a map, which adds up windows too.
"""
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import planning
from .compile import serial
from .passing import passed_back
from .sweeps import Floats, Kind, Mask, Places, Sum, across, down, down_maps, kind, size_of
from .tile import in_vector, mask_of
from .tile import lanes as lanes_of

Numbers = NDArray[np.int64]

NUMBERS = 2048  # that are kept between the two sweeps: they stay in the first-level cache


class Plan(NamedTuple):
    """How maps are pooled."""

    size: int
    stride: int
    pad: int
    height: int  # of the input's maps
    width: int
    tall: int  # of the output's
    wide: int
    joined: bool  # is row after row one long row, for windows as for pixels?
    band: int  # rows of windows at a time
    together: int  # maps at a time, if a band is all of a map
    room: int  # numbers that a band of a map needs
    inside: Mask  # for each of a window's groups of `stride` pixels: which of all windows' are in their row?
    apart: int  # from one group to the next in that
    before: Places  # how many of each window's first pixels are not in their row
    rows: Places  # in which row each pixel is, of maps one after another
    seen: Numbers  # of each row of pixels, the last row of windows that sees it, and how many do
    kind: Kind
    three: tuple[int, ...]  # something, if windows are three pixels wide


@planning
def planned(fine: Any, coarse: Any, size: int, stride: int, pad: int, itemsize: int) -> Plan:
    (height, width), (tall, wide), lanes = fine, coarse, lanes_of(itemsize)
    size, stride, pad = int(size), int(stride), int(pad)
    joined = width == stride * wide
    band = min(tall, max(1, (NUMBERS // wide - size) // stride + 1))
    rows = (band - 1) * stride + size
    swept = np.arange(-(-(rows if joined else 1) * wide // lanes) * lanes + lanes)
    column = swept % wide if joined else swept
    left = column * stride - pad  # in the row
    pixels = left[:, None] + np.arange(stride)
    inside = np.array([(pixels + tap >= 0) & (pixels + tap < width) for tap in range(0, size, stride)])
    together = max(1, NUMBERS // (rows * wide)) if band == tall else 1
    maps = np.arange(height * width + lanes) % (height * width) // width
    row = np.arange(height) + pad
    last = np.minimum(tall - 1, row // stride)
    seen = np.stack([last, last - np.maximum(0, -(-(row - size + 1) // stride)) + 1], axis=1)
    return Plan(
        size, stride, pad, height, width, tall, wide, joined, band, together, rows * wide,
        mask_of(inside), swept.size * stride, np.asarray(np.maximum(0, -left), np.int32),
        np.asarray(maps, np.int32), seen, kind(stride), (0,) * (size == 3))


def _sweep_across(
    x: Floats, plan: Plan, plane: int, planes: int, i: int, best: Floats, which: Places | None, base: int,
    what: Sum | None
) -> None:
    """best[row, j] : of window j, counted from `pad` pixels before the row, what is largest in that row; and which. Or
    the sum. Rows are those that windows i, … see; some may lie outside, where everything is −∞, or 0.
    """
    nothing = -np.inf if what is None else 0.0
    size, stride, height, width, wide, lanes, inside, apart, before = (
        size_of(plan), plan.stride, plan.height, plan.width, plan.wide, in_vector(best), plan.inside, plan.apart,
        plan.before)
    top, rows = i * stride - plan.pad, (min(plan.band, plan.tall - i) - 1) * stride + size
    first, last = max(0, top), min(height, top + rows)
    together = last - first if plan.joined else 1
    for m in range(planes):
        room = base + m * plan.room
        for r in range(first, last, together):
            row, place = r * width - plan.pad, room + (r - top) * wide
            start, count = (plane + m) * height * width + row, together * wide
            for v in range(0, count, lanes):
                across(x, start + v * stride, inside, apart, before, v, count - v, size, stride, best, which, place + v,
                       lanes, what, plan.kind)
        above, below = room + (first - top) * wide, room + (last - top) * wide
        for row in range(room, above, wide):
            for j in range(wide):
                best[row + j] = nothing
                if which is not None:  # if all it holds is −∞: the place of its first pixel in the map
                    which[row + j] = which[above + j] + (above - row) // wide * size
        for j in range(below, room + rows * wide):
            best[j] = nothing


def _sweep_down(
    best: Floats, which: Places | None, base: int, plan: Plan, plane: int, planes: int, i: int,
    argmax: Places | None, y: Floats, end: int, what: Sum | None
) -> None:
    """The largest of each window, from those of its rows."""
    size, tall, wide, lanes, rows = size_of(plan), plan.tall, plan.wide, in_vector(best), min(plan.band, plan.tall - i)
    runs, count = (1, rows * wide) if plan.stride == 1 else (rows, wide)
    for m in range(planes):
        for r in range(runs):
            row, out = base + m * plan.room + r * plan.stride * wide, ((plane + m) * tall + i + r) * wide
            for v in range(0, count, lanes):
                down(best, which, row + v, wide, size, y, argmax, out + v, count - v, end, lanes, what)


def _sweep_maps(
    x: Floats, plan: Plan, plane: int, planes: int, best: Floats, which: Places | None, base: int,
    argmax: Places | None, y: Floats, end: int, what: Sum | None
) -> None:
    """Both sweeps over all rows of some maps as one row: for small maps, of which a vector sees two."""
    size, pad, height, width, lanes, inside, apart, skipped, rows = (
        size_of(plan), plan.pad, plan.height, plan.width, in_vector(best), plan.inside, plan.apart, plan.before,
        plan.rows)
    pixels, q = height * width, 0
    first, count = plane * pixels, planes * pixels
    last = count // lanes * lanes
    for v in range(0, last, lanes):
        across(x, first + v - pad, inside, apart, skipped, q, None, size, 1, best, which, base + v, lanes, what,
               plan.kind)
        q = q + lanes if q + lanes < pixels else q + lanes - pixels
    if last < count:
        across(x, first + last - pad, inside, apart, skipped, q, count - last, size, 1, best, which, base + last, lanes,
               what, plan.kind)
    q, clear = 0, pixels - (size - 1 - pad) * width
    for v in range(0, count, lanes):
        if pad * width <= q and q + lanes <= clear:  # all rows that those windows see are in the map
            down(best, which, base + v - pad * width, width, size, y, argmax, first + v, count - v, end, lanes, what)
        else:
            down_maps(best, which, base + v, width, size, pad, rows[q:], height, y, argmax, first + v, count - v, end,
                      lanes, what)
        q = q + lanes if q + lanes < pixels else q + lanes - pixels


def _sweep(
    x: Floats, plan: Plan, plane: int, planes: int, best: Floats, which: Places | None, base: int,
    argmax: Places | None, y: Floats, end: int, what: Sum | None
) -> None:
    """Of some maps, `plan.together` at most, the largest of each window, or the sum.

    All of one dimension; best and which : from `base` on, what is kept between the sweeps.  end : before it, what lies
    behind the results in y and argmax is to be written later."""
    pixels = plan.height * plan.width
    if len(plan.kind) == 1 and plan.joined and plan.height == plan.band and pixels >= in_vector(best):
        sweep_maps(x, plan, plane, planes, best, which, base, argmax, y, end, what)
    else:
        for i in range(0, plan.tall, plan.band):
            sweep_across(x, plan, plane, planes, i, best, which, base, what)
            sweep_down(best, which, base, plan, plane, planes, i, argmax, y, end, what)


def _pass_back(
    dy: Floats, argmax: Places | None, start: int, plan: Plan, begin: int, end: int, dx: Floats
) -> None:
    """To the pixels of maps from one to another, row by row. Their windows are in dy from `start` on."""
    size, stride, pad, height, width = size_of(plan), plan.stride, plan.pad, plan.height, plan.width
    tall, wide, lanes, seen, swept = plan.tall, plan.wide, in_vector(dx), plan.seen, -(-(width + pad) // stride)
    for plane in range(begin, end):
        for r in range(height):
            at, rows = start + ((plane - begin) * tall + seen[r, 0]) * wide, seen[r, 1]
            for v in range(0, swept, lanes):
                passed_back(dy, argmax, at, rows, 0, wide, wide, size, stride, v, r + pad - seen[r, 0] * stride, pad,
                            width, dx, (plane * height + r) * width - pad, end * height * width, lanes, plan.kind)


sweep, sweep_across, sweep_down, sweep_maps = (
    serial(loop) for loop in (_sweep, _sweep_across, _sweep_down, _sweep_maps))
pass_back = serial(_pass_back)


def sweep_room(plan: Plan, itemsize: int) -> int:
    """Numbers that a thread keeps between the sweeps; whole vectors are read and written, so some more."""
    return plan.together * plan.room + 3 * lanes_of(itemsize)
