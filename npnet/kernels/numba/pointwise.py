"""Convolution by 1 × 1: a product of matrices at every pixel, the dimension reductions of GoogLeNet §4.

y[o, p] = Σ_c w[o, c] x[c, p]: there are no patches, and nothing is copied but 48 pixels of all channels at a time, put
close together, where they stay while all weights pass by. The pixels of all images are counted through, so that maps of
49 fill the vectors too. With copies as `conv` makes them, this took twice the time.

The gradient of the input is the same with w turned over. That of the weights sums over pixels, so the pixels of dy and
of 48 channels of x are turned, to have the channels of a pixel side by side.
"""
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, flat, scratch, serial, threads
from .tile import FIRST_ROWS, ROWS, new_tile, tile, whole, widest
from .tile import lanes as lanes_of
from .vectors import move, will_read, will_write
from .windows import add, set_all
from .windows import gather as turn_maps

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

PANELS = 4  # in a band of pixels: a row of as many is read and written at a time
TAPS = 160  # channels of a panel in the first-level cache
PIXELS = 160  # that the gradient of the weights sums over at a time, likewise


def _pack_block(w: Floats, b: Floats, turned: bool, first: int, block: Floats) -> None:
    """block[c, r] = w[first + r, c], turned w[c, first + r]; for c = C the bias. Zero where there is no such output."""
    taps, width = block.shape[0] - 1, w.shape[1] if turned else w.shape[0]
    few = min(ROWS, width - first)
    if few < ROWS:
        set_all(block.reshape(-1), 0)
    if turned:
        for c in range(taps):
            move(w[c], first, block[c], 0, few)
    else:
        for r in range(few):
            for c in range(taps):
                block[c, r] = w[first + r, c]
    for r in range(few):
        block[taps, r] = b[first + r]


def _pack(w: Floats, b: Floats, turned: bool, blocks: Floats) -> None:
    """blocks[g, o // ROWS] : `_pack_block` of w[g]."""
    groups, per_group, _, _ = blocks.shape
    each = b.size // groups
    for job in range(groups * per_group):  # too little to divide
        g, block = job // per_group, job % per_group
        pack_block(w[g], b[g * each : (g + 1) * each], turned, block * ROWS, blocks[g, block])


def _runs(pixels: int, first: int, columns: int, width: int, runs: Numbers) -> int:
    """Pixels first, first + 1, … counted through all images, as runs that cross no image and no panel.

    runs[i] : the image, the pixel in it, the column in the band, how many. Returns the number of runs.
    """
    count, done = 0, 0
    while done < columns:
        n, p = (first + done) // pixels, (first + done) % pixels
        few = min(min(columns - done, pixels - p), width - done % width)
        runs[count, 0], runs[count, 1], runs[count, 2], runs[count, 3] = n, p, done, few
        count, done = count + 1, done + few
    return count


def _gather(x: Floats, sizes: Any, g: int, some: Any, runs: Numbers, width: int, band: Floats) -> None:
    """band[j // width, c − some[0], j % width] = channel c of the pixel in column j of the runs.

    After the last channel of the group comes a row of ones.  band : (panels, rows, width), one row to spare.
    """
    groups, channels, pixels = sizes
    flat, rows = band.reshape(-1), band.shape[1]
    for i in range(runs.shape[0]):  # from here on: where channel 0 is, and where it goes
        n, p, column = runs[i, 0], runs[i, 1], runs[i, 2]
        runs[i, 4] = (n * groups + g) * channels * pixels + p
        runs[i, 5] = column // width * rows * width + column % width
    for c in range(some[0], some[1]):
        for i in range(runs.shape[0]):
            move(x, runs[i, 4] + c * pixels, flat, runs[i, 5] + (c - some[0]) * width, runs[i, 3])
    if some[1] == channels:
        for panel in range(band.shape[0]):
            for j in range(width):
                band[panel, channels - some[0], j] = 1


def _spread(c: Floats, lanes: int, rows: int, sizes: Any, o: int, runs: Numbers, columns: int, y: Floats) -> None:
    """Rows of tiles c (panels, ROWS · width) into the maps of outputs o, o + 1, …, each run to its place."""
    outputs, pixels = sizes
    width = c.shape[1] // ROWS
    flat = c.reshape(-1)
    for i in range(runs.shape[0]):
        n, p, column, few = runs[i, 0], runs[i, 1], runs[i, 2], runs[i, 3]
        panel = column // width
        across, start = whole(columns - panel * width, lanes), panel * c.shape[1] + column % width
        there = (n * outputs + o) * pixels + p
        for r in range(rows):
            move(flat, start + r * across, y, there + r * pixels, few)


def _multiply_bands(
    x: Floats, blocks: Floats, sizes: Any, some: Any, rows: Numbers, offsets: Numbers, lanes: int, band: Floats,
    tiles: Floats, runs: Numbers, y: Floats
) -> None:
    """y = w x + b for the bands of pixels from one to another.  x and y of one dimension, tiles (blocks, panels, tile).

    Some channels at a time: a panel of them stays in the first-level cache while all weights pass by.
    """
    groups, per_group, taps, _ = blocks.shape
    images, outputs, pixels = sizes
    panels, width, each, channels, few = tiles.shape[1], band.shape[2], outputs // groups, taps - 1, band.shape[1] - 1
    sums = tiles.reshape(-1)
    for job in range(some[0], some[1]):
        first = job * panels * width
        columns = min(panels * width, images * pixels - first)
        here = runs[: find_runs(pixels, first, columns, width, runs)]
        for g in range(groups):
            set_all(sums, 0)
            for c in range(0, channels, few):
                last = min(channels, c + few)
                gather(x, (groups, channels, pixels), g, (c, last), here, width, band)
                steps = offsets[: last - c + (1 if last == channels else 0)]
                asked, here_too = 0, last < channels  # while tiles are computed, ask for the channels that come next
                pixel = first if here_too else first + columns
                start = ((pixel // pixels * groups + g) * channels + last % channels) * pixels + pixel % pixels
                ahead = min(few, channels - last) if here_too else few
                share = -(-ahead // (-(-columns // width) * per_group))
                for panel in range(-(-columns // width)):
                    across = whole(columns - panel * width, lanes)
                    taken = band[panel].reshape(-1)
                    for block in range(per_group):
                        for row in range(asked, min(ahead, asked + share)):
                            will_read(x, start + row * pixels, panels * width)
                        asked += share
                        if not here_too:
                            pixel = first + panel * width
                            o = pixel // pixels * outputs + g * each + block * ROWS
                            for r in range(ROWS):
                                will_write(y, (o + r) * pixels + pixel % pixels, across)
                        tile(blocks[g, block, c:].reshape(-1), rows, ROWS, taken, steps,
                             tiles[block, panel, : ROWS * across].reshape((ROWS, across)))
            for block in range(per_group):
                o = g * each + block * ROWS
                spread(tiles[block], lanes, min(ROWS, each - block * ROWS), (outputs, pixels), o, here, columns, y)


def _multiply(
    x: Floats, blocks: Floats, sizes: Any, rows: Numbers, offsets: Numbers, lanes: int, bands: Floats, tiles: Floats,
    runs: Numbers, y: Floats
) -> None:
    team, count = tiles.shape[0], -(-sizes[0] * sizes[2] // (tiles.shape[2] * bands.shape[3]))
    for thread in prange(team):
        some = count * thread // team, count * (thread + 1) // team
        multiply_bands(x, blocks, sizes, some, rows, offsets, lanes, bands[thread], tiles[thread], runs[thread], y)


def _turn(
    x: Floats, sizes: Any, first: int, limit: int, runs: Numbers, places: Numbers, lanes: int, step: int, turned: Floats
) -> None:
    """turned[(c − first) // lanes · step + places[j] + c % lanes] = channel c of the pixel in column j of the runs.

    Channels from `first` to `limit`.  sizes : channels and pixels of an image.
    """
    channels, pixels = sizes
    for c in range(first, limit, lanes):
        there = turned[(c - first) // lanes * step :]
        for i in range(runs.shape[0]):
            turn_maps(x, runs[i, 0] * channels + c, min(lanes, limit - c), pixels, runs[i, 1], runs[i, 3], places,
                      runs[i, 2], lanes, there)


def _sum_products(
    dy: Floats, x: Floats, sizes: Any, some: Any, rows: Numbers, offsets: Numbers, places: Numbers, lanes: int,
    panel: Floats, turned: Floats, c: Floats, runs: Numbers, partial: Floats
) -> None:
    """partial[g, c // width, o // ROWS] += the tile of Σ_p dy[o, p] x[c, p], over pixels some[0], …, some[1] − 1."""
    outputs, channels, pixels = sizes
    groups, panels, blocks, _ = partial.shape
    width, each, wide, columns = c.size // ROWS, outputs // groups, channels // groups, some[1] - some[0]
    here, most = runs[: find_runs(pixels, some[0], columns, columns, runs)], places.size * lanes
    for g in range(groups):
        turn(dy, (outputs, pixels), g * each, (g + 1) * each, here, places, lanes, most, turned)
        for part in range(panels):
            first, limit = g * wide + part * width, (g + 1) * wide
            across = whole(limit - first, lanes)
            turn(x, (channels, pixels), first, min(limit, first + width), here, offsets, lanes, lanes, panel)
            for block in range(blocks):
                o = block * ROWS
                tile_ = c[: ROWS * across]
                new_tile(turned[o // lanes * most + o % lanes :], rows, lanes, panel, offsets[:columns],
                         tile_.reshape((ROWS, across)))
                add(tile_, partial[g, part, block, : ROWS * across])


def _backward_weight(
    dy: Floats, x: Floats, sizes: Any, together: int, rows: Numbers, offsets: Numbers, places: Numbers, lanes: int,
    panels: Floats, turned: Floats, tiles: Floats, runs: Numbers, partial: Floats
) -> None:
    images, outputs, channels, pixels = sizes
    team = tiles.shape[0]
    for thread in prange(team):
        partial[thread] = 0
        last = images * pixels * (thread + 1) // team
        for first in range(images * pixels * thread // team, last, together):
            sum_products(
                dy, x, (outputs, channels, pixels), (first, min(last, first + together)), rows, offsets, places, lanes,
                panels[thread], turned[thread], tiles[thread], runs[thread], partial[thread])


def _collect(partial: Floats, lanes: int, dw: Floats) -> None:
    """dw[g, o, c] = Σ over the threads, always in the same order."""
    groups, outputs, channels = dw.shape
    width = partial.shape[4] // ROWS
    for row in range(groups * outputs):
        g, o = row // outputs, row % outputs
        for panel in range(partial.shape[2]):
            first = panel * width
            count, start = min(width, channels - first), o % ROWS * whole(channels - first, lanes)
            move(partial[0, g, panel, o // ROWS], start, dw[g, o], first, count)
            for thread in range(1, partial.shape[0]):
                add(partial[thread, g, panel, o // ROWS, start : start + count], dw[g, o, first : first + count])


gather, spread, turn = serial(_gather), serial(_spread), serial(_turn)
find_runs, pack_block, pack = serial(_runs), serial(_pack_block), serial(_pack)
multiply_bands, sum_products = serial(_multiply_bands), serial(_sum_products)
multiply, backward_weight, collect = compiled(_multiply), compiled(_backward_weight), serial(_collect)


def suits(w: tuple[int, ...], stride: int, pad: int) -> bool:
    """Is it a convolution by 1 × 1 that leaves no pixel out?"""
    return w[2:] == (1, 1) and stride == 1 and pad == 0


class _Way(NamedTuple):
    """How a product is cut up."""

    together: int  # pixels that the gradient of the weights sums over at a time
    taps: Numbers  # where the channels are in a panel, and the bias
    pixels: Numbers  # where the pixels are in a turned panel
    places: Numbers  # and in a vector of channels of dy
    rows: Numbers  # where the outputs of a tile are
    runs: tuple[int, ...]  # shape of the room for them


@cache
def _plan(x: Any, w: Any, itemsize: int, team: int) -> tuple[_Way, dict[str, tuple[int, ...]]]:
    (images, channels, height, length), (outputs, each, *_) = x, w
    groups, pixels, wide = channels // each, height * length, widest(itemsize)
    together, lanes = min(PIXELS, images * pixels), lanes_of(itemsize)
    blocks = -(-outputs // groups // ROWS)
    numbers, rows = np.arange(max(each + 1, together), dtype=np.int64), np.arange(ROWS)
    few = -(-each // -(-each // TAPS))
    return _Way(together, numbers[: each + 1] * wide, numbers[:together] * wide, numbers[:together] * lanes,
                rows // lanes * together * lanes + rows % lanes, (team, max(PANELS * wide, together) + 1, 6)), {
        "bands": (team, PANELS, few + 1, wide),
        "sums": (team, blocks, PANELS, ROWS * wide),
        "panel": (team, together * wide),
        "turned": (team, -(-blocks * ROWS // lanes) * together * lanes),
        "tiles": (team, ROWS * wide),
        "blocks": (groups, blocks, each + 1, ROWS),
        "partial": (team, groups, -(-each // wide), blocks, ROWS * wide),
    }


FORWARD = ("bands", "sums", "blocks")
WEIGHT = ("panel", "turned", "tiles", "partial")


def forward(x: Floats, w: Floats, b: Floats, turned: bool, y: Floats) -> None:
    """As `conv2d_forward`, or with w turned over as `conv2d_backward_data`.

    w : (groups, O, C), turned (groups, C, O).
    """
    way, parts = _plan(x.shape, (y.shape[1], x.shape[1] // w.shape[0], 1, 1), x.itemsize, threads())
    bands, sums, blocks = scratch(x.dtype, *(parts[name] for name in FORWARD))
    pack(w, b, turned, blocks)
    multiply(
        flat(x), blocks, (x.shape[0], y.shape[1], x.shape[2] * x.shape[3]), FIRST_ROWS, way.taps,
        lanes_of(x.itemsize), bands, sums, *scratch(np.dtype(np.int64), way.runs), flat(y),
    )


def weight(dy: Floats, x: Floats, dw: Floats) -> None:
    """As `conv2d_backward_weight`, without db.  dw : (groups, O, C)."""
    way, parts = _plan(x.shape, (dy.shape[1], dw.shape[2], 1, 1), x.itemsize, threads())
    panels, turned, tiles, partial = scratch(x.dtype, *(parts[name] for name in WEIGHT))
    lanes = lanes_of(x.itemsize)
    backward_weight(
        flat(dy), flat(x),
        (x.shape[0], dy.shape[1], x.shape[1], x.shape[2] * x.shape[3]), way.together, way.rows, way.pixels, way.places,
        lanes, panels, turned, tiles, *scratch(np.dtype(np.int64), way.runs), partial,
    )
    collect(partial, lanes, dw)
