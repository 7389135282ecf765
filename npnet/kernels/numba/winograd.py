r"""Convolution by 3 × 3 and 5 × 5 with a quarter and a third of the multiplications: Winograd's minimal filtering.

Four neighbouring outputs of a filter of three, y = (y₀ … y₃) from six inputs x, need 12 multiplications as written,
and 6 in this way: y = Aᵀ[(G w) ∘ (Bᵀ x)]. Why: a filter is, turned round, a product of polynomials y(z) = w(z) x(z)
of degree 5, and such a product is known from its values at six points (0, ±1, ±2, ∞): G and Bᵀ evaluate at the
points, ∘ multiplies the values, Aᵀ goes back from them. Done along rows and along columns, it makes 4 × 4 outputs
from 6 × 6 inputs with 36 multiplications in place of 144, F(4 × 4, 3 × 3):

    Y = Aᵀ[ (G W Gᵀ) ∘ (Bᵀ X B) ]A            S. Winograd 1980; for nets: Lavin and Gray 2016, §4.

Six points serve two outputs of a filter of five as well: F(2 × 2, 5 × 5), with 36 in place of 100.

Summed over channels, ∘ becomes 36 products of matrices, (tiles × channels) · (channels × outputs), one for each
place of the 6 × 6: those are made of `tile`s. The transforms to and fro work on a vector of channels at a time, so
rows of pixels are turned over when they are read, to have the channels of a pixel side by side, and back when they
are written.

The gradient of the input is the same convolution, of dy by turned weights. That of the weights follows from Y by the
chain rule: dW = Gᵀ[ (A dY Aᵀ) ∘ (Bᵀ X B) ]G, summed over tiles.

What is gained: 1.5 to 2.7 times on the papers' layers (maps of 13 pixels are filled up to 16, of 7 to 8). What it
costs: errors of float32 two to five times as large, 1e-5 of the largest number at most; and where an ∞ or a NaN
comes in, all outputs of a tile become NaN, not only those that see it. So a result that is not finite is thrown
away, and `conv` computes it with every product.
"""
import math
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numba import prange
from numpy.typing import NDArray

from .compile import compiled, inlined, serial, threads
from .tile import FIRST_ROWS, ROWS, tile, widest
from .tile import lanes as lanes_of
from .vectors import Matrix, combination, transpose

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

IN = 6  # pixels along a side of the inputs of a tile, of which `out` = 4 or 2 outputs are made by 3 × 3 or 5 × 5
PLACES = IN * IN
TILES = 64  # that go through the products together: the weights are read once for all of them
SUMMED = 256  # for the gradient of the weights: the sums are read and written once for all of them

POINTS = (0, 1, -1, 2, -2)  # and ∞
SCALES = (1 / 4, -1 / 6, -1 / 6, 1 / 24, 1 / 24)  # of the values at the points, all put into G
B_T = ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0), (0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0),
       (0, 4, 0, -5, 0, 1))


def a_t(out: int) -> Matrix:
    """Aᵀ: powers of the points, as many as there are outputs."""
    return tuple((*(point**i for point in POINTS), float(i == out - 1)) for i in range(out))


def g(kernel: int) -> Matrix:
    """G: the filter, as a polynomial, at the points."""
    values = (tuple(scale * point**k for k in range(kernel)) for point, scale in zip(POINTS, SCALES, strict=True))
    return (*values, (*(0.0 for _ in range(kernel - 1)), 1.0))


def _turned(matrix: Matrix) -> Matrix:
    return tuple(zip(*matrix, strict=True))


by_b_t = combination("b_t", B_T)
by_a_t4, by_a4 = combination("a_t4", a_t(4)), combination("a4", _turned(a_t(4)))
by_a_t2, by_a2 = combination("a_t2", a_t(2)), combination("a2", _turned(a_t(2)))
by_g3, by_g_t3 = combination("g3", g(3)), combination("g_t3", _turned(g(3)))
by_g5, by_g_t5 = combination("g5", g(5)), combination("g_t5", _turned(g(5)))


def _by_a_t(out: int, source: Floats, step: int, count: int, target: Floats, stride: int) -> None:
    if out == 4:
        by_a_t4(source, step, count, target, stride)
    else:
        by_a_t2(source, step, count, target, stride)


def _by_a(out: int, source: Floats, step: int, count: int, target: Floats, stride: int) -> None:
    if out == 4:
        by_a4(source, step, count, target, stride)
    else:
        by_a2(source, step, count, target, stride)


def _by_g(kernel: int, source: Floats, step: int, count: int, target: Floats, stride: int) -> None:
    if kernel == 3:
        by_g3(source, step, count, target, stride)
    else:
        by_g5(source, step, count, target, stride)


def _by_g_t(kernel: int, source: Floats, step: int, count: int, target: Floats, stride: int) -> None:
    if kernel == 3:
        by_g_t3(source, step, count, target, stride)
    else:
        by_g_t5(source, step, count, target, stride)


def _read(x: Floats, shape: Any, first: int, pad: int, strip: Floats, line: int, rows: int, lanes: int) -> None:
    """strip[i, p, c] = x[c, first + i, p − pad], zero outside: `rows` rows of `line` pixels.

    x : of one dimension, channels × H × W numbers and perhaps more.  strip : of one dimension, with some to spare.
    """
    channels, height, width = shape
    for i in range(rows):
        row, here = first + i, strip[i * line * channels :]
        inside = 0 <= row < height
        here[: (pad if inside else line) * channels] = 0
        if inside:
            for c in range(0, channels, lanes):
                for p in range(0, width, lanes):
                    start, there = (c * height + row) * width + p, (pad + p) * channels + c
                    if start + (lanes - 1) * height * width + lanes <= x.size:  # it reads on where the row has ended
                        transpose(x[start:], height * width, here[there:], channels, lanes)
                    else:
                        for j in range(lanes):
                            for q in range(min(lanes, width - p)):
                                here[there + q * channels + j] = x[start + j * height * width + q]
            here[(pad + width) * channels : line * channels] = 0


def _write(
    strip: Floats, out: int, line: int, y: Floats, shape: Any, first: int, last: int, square: Floats, lanes: int
) -> None:
    """y[o, first + i, p] = strip[i, p, o], as far as there are rows and pixels.

    What a vector writes beyond the end of a row is put right by the next row; beyond row `last` nothing may be written.
    """
    channels, height, width = shape
    for i in range(min(out, height - first)):
        for p in range(0, width, lanes):
            inside = (first + i) * width + p + lanes <= last * width
            for o in range(0, channels, lanes):
                start, there = (o * height + first + i) * width + p, (i * line + p) * channels + o
                if inside:
                    transpose(strip[there:], channels, y[start:], height * width, lanes)
                else:
                    transpose(strip[there:], channels, square, lanes, lanes)
                    for j in range(lanes):
                        for q in range(min(lanes, width - p)):
                            y[start + j * height * width + q] = square[j * lanes + q]


def _add_bias(strip: Floats, pixels: int, b: Floats) -> bool:
    """Adds it to every pixel. True if all are finite."""
    wrong = 0
    for p in range(pixels):
        line = strip[p * b.size : (p + 1) * b.size]
        for o in range(b.size):
            v = line[o] + b[o]
            line[o] = v
            wrong += v - v != 0
    return wrong == 0


def _transform_weights(w: Floats, kernel: int, turned: bool, team: int, small: Floats, u: Floats) -> None:
    """u[place, g, o // width, c, o % width] = (G w[g, o, c] Gᵀ)[place].

    w : (groups, O, C, kernel²); turned, (groups, C, O, kernel²), its rows and columns taken backwards.
    """
    _, groups, panels, channels, width = u.shape
    count = groups * panels * channels
    for thread in prange(team):
        for job in range(count * thread // team, count * (thread + 1) // team):
            g, panel, c = job // channels // panels, job // channels % panels, job % channels
            target = u.reshape(-1)[job * width :]
            transform_weight(w[g], kernel, turned, panel, c, width, small[thread], target, u[0].size)


def _transform_weight(
    w: Floats, kernel: int, turned: bool, panel: int, c: int, width: int, small: Floats, u: Floats, apart: int
) -> None:
    some = min(width, (w.shape[1] if turned else w.shape[0]) - panel * width)
    row, half = small, small[kernel * kernel * width :]
    for o in range(some):
        for k in range(kernel * kernel):
            backwards = kernel * kernel - 1 - k
            row[k * width + o] = w[c, panel * width + o, backwards] if turned else w[panel * width + o, c, k]
    for k in range(kernel):  # along the rows, then along the columns of what comes of it
        by_g(kernel, row[kernel * k * width :], width, some, half[IN * k * width :], width)
    for k in range(IN):
        by_g(kernel, half[k * width :], IN * width, some, u[k * apart :], IN * apart)


def _transform_inputs(x: Floats, shape: Any, way: Any, pad: int, lanes: int, some: Any, parts: Any, v: Floats) -> None:
    """v[place, t, c] = (Bᵀ X B)[place] of tile t, channel c, for `some` rows of tiles, counted through all images."""
    strip, half = parts
    tall, columns, tiles, out = way
    channels, line, t = shape[0], out * columns + IN - out, 0
    for index in range(some[0], some[1]):
        image = x[index // tall * channels * shape[1] * shape[2] :]
        read(image, shape, index % tall * out - pad, pad, strip, line, IN, lanes)
        by_b_t(strip, line * channels, line * channels, half, line * channels)
        for column in range(columns):
            for k in range(IN):
                source = half[(k * line + out * column) * channels :]
                by_b_t(source, channels, channels, v[(k * IN * tiles + t) * channels :], tiles * channels)
            t += 1


def _transform_gradients(dy: Floats, shape: Any, way: Any, lanes: int, some: Any, parts: Any, e: Floats) -> None:
    """e[place, t, o] = (A dY Aᵀ)[place], likewise."""
    strip, half = parts
    tall, columns, tiles, out = way
    channels, line, t = shape[0], out * columns, 0
    for index in range(some[0], some[1]):
        image = dy[index // tall * channels * shape[1] * shape[2] :]
        read(image, shape, index % tall * out, 0, strip, line, out, lanes)
        by_a(out, strip, line * channels, line * channels, half, line * channels)
        for column in range(columns):
            for k in range(IN):
                source = half[(k * line + out * column) * channels :]
                by_a(out, source, channels, channels, e[(k * IN * tiles + t) * channels :], tiles * channels)
            t += 1


def _transform_outputs(
    m: Floats, shape: Any, way: Any, groups: int, width: int, lanes: int, some: Any, end: int, parts: Any, b: Floats,
    square: Floats, y: Floats
) -> bool:
    """y = Aᵀ m A + b. True if all of it is finite.

    m : [place, g, panel, t, o % width].  end : the first row of tiles that is somebody else's.
    """
    strip, half = parts
    tall, columns, tiles, out = way
    channels, line, t, finite = shape[0], out * columns, 0, True
    each = channels // groups
    panels = -(-each // width)
    apart = groups * panels * tiles * width
    for index in range(some[0], some[1]):
        for column in range(columns):
            for part in range(groups * panels):
                g, first = part // panels, part % panels * width
                across = min(width, each - first)
                for k in range(IN):
                    source = m[k * IN * apart + part * tiles * width + t * across :]
                    target = half[(k * line + out * column) * channels + g * each + first :]
                    by_a_t(out, source, apart, across, target, channels)
            t += 1
        by_a_t(out, half, line * channels, line * channels, strip, line * channels)
        finite &= add_bias(strip, out * line, b)
        image = y[index // tall * channels * shape[1] * shape[2] :]
        last = min(shape[1], (end - index // tall * tall) * out)
        write(strip, out, line, image, shape, index % tall * out, last, square, lanes)
    return finite


def _multiply(v: Floats, channels: int, u: Floats, tiles: int, used: int, rows: Numbers, offsets: Numbers, outputs: int,
              m: Floats) -> None:
    """m[place] = v[place] · u[place], group by group."""
    places, groups, panels, each, width = u.shape
    for part in range(places * groups * panels):
        place, g, first = part // panels // groups, part // panels % groups, part % panels * width
        across = min(width, outputs - first)
        weights = u[place, g, part % panels].reshape(-1)
        for t in range(0, used, ROWS):
            start = part * tiles * width + t * across
            c = m[start : start + ROWS * across].reshape((ROWS, across))
            for r in range(ROWS):
                for j in range(across):
                    c[r, j] = 0
            tile(v[(place * tiles + t) * channels + g * each :], rows, 1, weights, offsets, c)


def _correlate(
    x: Floats, x_shape: Any, u: Floats, b: Floats, way: Any, jobs: Any, pad: int, lanes: int, rows: Numbers,
    offsets: Numbers, strips: Floats, halves: Floats, vs: Floats, ms: Floats, y_shape: Any, finite: Any, y: Floats
) -> None:
    """x and y of one dimension; jobs: rows of tiles in all, and how many of them are done together."""
    total, together = jobs
    team, count = strips.shape[0], -(-total // together)
    outputs, groups, width = y_shape[0], u.shape[1], u.shape[4]
    for thread in prange(team):
        parts = strips[thread], halves[thread]
        finite[thread] = True
        end = min(total, count * (thread + 1) // team * together)
        for job in range(count * thread // team, count * (thread + 1) // team):
            some = job * together, min(total, (job + 1) * together)
            transform_inputs(x, x_shape, way, pad, lanes, some, parts, vs[thread])
            multiply(vs[thread], x_shape[0], u, way[2], (some[1] - some[0]) * way[1], rows, offsets, outputs // groups,
                     ms[thread])
            finite[thread] &= transform_outputs(
                ms[thread], y_shape, way, groups, width, lanes, some, end, parts, b, vs[thread], y)


def _transform_both(
    dy: Floats, dy_shape: Any, x: Floats, x_shape: Any, way: Any, some: Any, pad: int, lanes: int, strips: Floats,
    halves: Floats, v: Floats, e: Floats
) -> None:
    """`_transform_inputs` and `_transform_gradients`, on all threads."""
    team, columns = strips.shape[0], way[1]
    for thread in prange(team):
        rows = some[1] - some[0]
        mine = some[0] + rows * thread // team, some[0] + rows * (thread + 1) // team
        before, parts = (mine[0] - some[0]) * columns, (strips[thread], halves[thread])
        transform_inputs(x, x_shape, way, pad, lanes, mine, parts, v[before * x_shape[0] :])
        transform_gradients(dy, dy_shape, way, lanes, mine, parts, e[before * dy_shape[0] :])


def _sum_products(
    v: Floats, e: Floats, channels: Any, tiles: int, rows: Numbers, offsets: Numbers, anew: bool, small: Floats,
    sums: Floats
) -> None:
    """sums[place, g, panel, c // ROWS] += the tile of v[place]ᵀ · e[place], over the tiles of `offsets`."""
    team, count = small.shape[0], PLACES * sums.shape[1] * sums.shape[2]
    for thread in prange(team):
        for part in range(count * thread // team, count * (thread + 1) // team):
            sum_product(v, e, channels, tiles, rows, offsets, anew, part, small[thread], sums)


def _sum_product(
    v: Floats, e: Floats, channels: Any, tiles: int, rows: Numbers, offsets: Numbers, anew: bool, part: int,
    small: Floats, sums: Floats
) -> None:
    """A sum for these tiles alone, then added to that of the others: the error grows with the longer of the two."""
    _, groups, panels, blocks, size = sums.shape
    width, each = size // ROWS, channels[1] // groups
    place, g, panel = part // panels // groups, part // panels % groups, part % panels
    across = min(width, each - panel * width)
    source = e[place * tiles * channels[1] + g * each + panel * width :]
    for block in range(blocks):
        c, sum_ = small[: ROWS * across], sums[place, g, panel, block]
        for j in range(c.size):
            c[j] = 0
        start = (place * tiles * channels[0]) + (g * blocks + block) * ROWS
        tile(v[start:], rows, channels[0], source, offsets, c.reshape((ROWS, across)))
        if anew:
            for j in range(c.size):
                sum_[j] = c[j]
        else:
            for j in range(c.size):
                sum_[j] += c[j]


def _collect(sums: Floats, kernel: int, small: Floats, dw: Floats) -> None:
    """dw[g, o, c] = Gᵀ sums G.  dw : (groups, O, C, kernel²)."""
    _, groups, panels, blocks, _ = sums.shape
    team, count = small.shape[0], groups * panels * blocks
    for thread in prange(team):
        for job in range(count * thread // team, count * (thread + 1) // team):
            g, panel, block = job // blocks // panels, job // blocks % panels, job % blocks
            collect_block(sums[:, g, panel, block], kernel, panel, block, small[thread], dw[g])


def _collect_block(sums: Floats, kernel: int, panel: int, block: int, small: Floats, dw: Floats) -> None:
    width = sums.shape[1] // ROWS
    across = min(width, dw.shape[0] - panel * width)
    half, row = small, small[IN * kernel * width :]
    for r in range(ROWS):
        for k in range(IN):
            for place in range(k * IN, (k + 1) * IN):
                for j in range(across):
                    row[(place - k * IN) * width + j] = sums[place, r * across + j]
            by_g_t(kernel, row, width, across, half[k * kernel * width :], width)
        for k in range(kernel):
            by_g_t(kernel, half[k * width :], kernel * width, across, row[k * width :], kernel * width)
        for j in range(across):
            for k in range(kernel * kernel):
                dw[panel * width + j, block * ROWS + r, k] = row[k * width + j]


by_a_t, by_a, by_g, by_g_t = inlined(_by_a_t), inlined(_by_a), inlined(_by_g), inlined(_by_g_t)
read, write, add_bias = serial(_read), serial(_write), serial(_add_bias)
transform_weight, collect_block = serial(_transform_weight), serial(_collect_block)
transform_inputs, transform_gradients = serial(_transform_inputs), serial(_transform_gradients)
transform_outputs = serial(_transform_outputs)
multiply, sum_product = serial(_multiply), serial(_sum_product)
transform_weights, correlate = compiled(_transform_weights), compiled(_correlate)
transform_both, sum_products, collect = compiled(_transform_both), compiled(_sum_products), compiled(_collect)

LEAST = 512  # output pixels in all images: fewer, and transforming the weights costs more than is gained
CHANNELS = 20  # C · O / (C + O): with fewer, transforming the pixels does


@cache
def suits(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: int, itemsize: int) -> bool:
    """Is this the way to compute that convolution? 3 × 3 or 5 × 5, stride 1, whole vectors and tiles of channels."""
    whole, groups = max(lanes_of(itemsize), ROWS), x[1] // w[1]
    channels, outputs = w[1], w[0] // groups
    return (
        w[2:] in ((3, 3), (5, 5)) and stride == 1 and channels % whole == 0 and outputs % whole == 0
        and channels * outputs >= CHANNELS * (channels + outputs) and min(y[2:]) >= 4 and y[0] * y[2] * y[3] >= LEAST
    )


class _Way(NamedTuple):
    """How a convolution is cut up."""

    out: int  # pixels along a side of a tile's outputs
    tall: int  # rows of tiles in an image
    columns: int
    together: int  # rows of tiles that are done together
    summed: int  # the same for the gradient of the weights
    offsets: Numbers  # of the taps in a panel of weights
    rows: Numbers  # of the tiles in v
    steps: Numbers  # of the tiles in e


def _tiles(together: int, columns: int) -> int:
    """In so many rows, filled up to whole tiles of the product."""
    return -(-together * columns // ROWS) * ROWS


@cache
def _plan(x: Any, w: Any, y: Any, itemsize: int, team: int) -> tuple[_Way, dict[str, tuple[int, ...]]]:
    out = IN + 1 - w[2]
    tall, columns = -(-y[2] // out), -(-y[3] // out)
    together = max(1, min(TILES // columns, -(-x[0] * tall // team)))
    summed = max(1, min(SUMMED // columns, x[0] * tall))
    lanes, wide, groups = lanes_of(itemsize), widest(itemsize), x[1] // w[1]
    panels, line, most = -(-(w[0] // groups) // wide), out * columns + IN - out, max(x[1], y[1])
    numbers = np.arange(max(summed * columns, w[1], ROWS), dtype=np.int64)
    steps = numbers[: w[1]] * wide, numbers[:ROWS] * x[1], numbers * y[1]
    way = _Way(out, tall, columns, together, summed, *steps)
    tiles = _tiles(together, columns)
    return way, {
        "strips": (team, (IN * line + lanes) * most),
        "halves": (team, IN * line * most),
        "vs": (team, PLACES * tiles * x[1]),
        "ms": (team, PLACES * groups * panels * tiles * wide),
        "u": (PLACES, groups, panels, w[1], wide),
        "small": (team, (IN + w[2]) * w[2] * wide),
        "v": (PLACES * _tiles(summed, columns) * x[1],),
        "e": (PLACES * _tiles(summed, columns) * y[1],),
        "sums": (PLACES, groups, panels, w[1] // ROWS, ROWS * wide),
    }


CORRELATE = ("strips", "halves", "vs", "ms", "u", "small")
WEIGHT = ("strips", "halves", "v", "e", "small", "sums")


def scratch(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], itemsize: int, team: int) -> int:
    """Numbers of scratch memory that the functions below need."""
    _, parts = _plan(x, w, y, itemsize, team)
    return max(sum(math.prod(parts[name]) for name in names) for names in (CORRELATE, WEIGHT))


def forward(x: Floats, w: Floats, b: Floats, pad: int, turned: bool, memory: Any, y: Floats) -> bool:
    """As `conv2d_forward`, or with turned weights as `conv2d_backward_data`. False if the result is not finite.

    w : (groups, O, C, kernel²), turned (groups, C, O, kernel²).  memory(parts, names) divides the scratch memory.
    """
    kernel = math.isqrt(w.shape[3])
    shape = (y.shape[1], w.shape[1] if turned else w.shape[2], kernel, kernel)
    way, parts = _plan(x.shape, shape, y.shape, x.itemsize, threads())
    strips, halves, vs, ms, u, small = memory(parts, CORRELATE)
    transform_weights(w, kernel, turned, threads(), small, u)
    finite = np.empty(threads(), np.bool_)
    correlate(
        np.reshape(x, -1, copy=False), x.shape[1:], u, b,
        (way.tall, way.columns, _tiles(way.together, way.columns), way.out), (x.shape[0] * way.tall, way.together), pad,
        lanes_of(x.itemsize), way.rows, way.offsets, strips, halves, vs, ms, y.shape[1:], finite,
        np.reshape(y, -1, copy=False),
    )
    return bool(finite.all())


def weight(dy: Floats, x: Floats, pad: int, memory: Any, dw: Floats) -> bool:
    """As `conv2d_backward_weight`, without db. False if the result is not finite.  dw : (groups, O, C, kernel²)."""
    kernel = math.isqrt(dw.shape[3])
    shape = (dy.shape[1], dw.shape[2], kernel, kernel)
    way, parts = _plan(x.shape, shape, dy.shape, x.itemsize, threads())
    strips, halves, v, e, small, sums = memory(parts, WEIGHT)
    rows, lanes, tiles = x.shape[0] * way.tall, lanes_of(x.itemsize), _tiles(way.summed, way.columns)
    for first in range(0, rows, way.summed):
        some = first, min(rows, first + way.summed)
        transform_both(
            np.reshape(dy, -1, copy=False), dy.shape[1:], np.reshape(x, -1, copy=False), x.shape[1:],
            (way.tall, way.columns, tiles, way.out), some, pad, lanes, strips, halves, v, e,
        )
        offsets = way.steps[: (some[1] - some[0]) * way.columns]
        sum_products(
            v, e, (x.shape[1], dy.shape[1]), tiles, FIRST_ROWS, offsets, first == 0, small, sums)
    collect(sums, kernel, small, dw)
    return bool(np.isfinite(dw).all())
