r"""Convolution by 3 × 3 to 5 × 5 with a fraction of the multiplications: Winograd's minimal filtering, `minimal`.

Along rows and along columns, it makes 4 × 4 outputs from 6 × 6 inputs with 36 multiplications in place of 144,
F(4 × 4, 3 × 3), from 7 × 7 with 49 in place of 256, and from 8 × 8 with 64 in place of 400, F(4 × 4, 5 × 5):

    Y = Aᵀ[ (G W Gᵀ) ∘ (Bᵀ X B) ]A            for nets: Lavin and Gray 2016, §4.

Summed over channels, ∘ becomes 36 to 64 products of matrices, (tiles × channels) · (channels × outputs), one for each
place of the 6 × 6 to 8 × 8: those are made of `tile`s. The transforms to and fro work on a vector of channels at a
time, so rows of pixels are turned over when they are read, to have the channels of a pixel side by side, and back when
they are written.

The gradient of the input is the same convolution, of dy by turned weights. That of the weights follows from Y by the
chain rule: dW = Gᵀ[ (A dY Aᵀ) ∘ (Bᵀ X B) ]G, summed over tiles. A first layer's stride is no obstacle: `strips`.

What is gained: the papers' layers are 2.1 to 3.7 times as fast as by `conv` (docs/speed.md; maps of 13 pixels are
filled up to 16, of 7 to 8). What it costs: errors of float32 of 4e-6 of the largest number in place of 7e-7, 9e-6 at
most (the tests' shapes); and where an ∞ or a NaN comes in, all outputs of a tile become NaN, not only those that see
it. So a result that is not finite is thrown away, and `conv` computes it with every product.
"""
import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .arrays import LINE, Shapes, flat, images_apart, lowest, lying, planning, scratch
from .compile import serial
from .minimal import OUT, POINTS, by_a, by_a_t, by_b_t, by_g, by_g_t
from .prepared import Loops, loop
from .rows import add, set_all, total
from .strips import put_together, read, read_apart, take_apart, write
from .team import claim, parallel, share, threads
from .tile import FIRST_ROWS, ROWS, tile, widest
from .tile import lanes as lanes_of
from .turned import gather, release
from .vectors import move

Floats = NDArray[Any]
Numbers = NDArray[np.int64]

TILES = 64  # at a time: with 32 or 48 the weights are read more often
OWN = 96  # for the gradient of the weights, if each thread has sums of its own: so many tiles read and write them once
SUMMED = 256  # the same, if they share them
APART = 2**22  # bytes of sums: so few, and each thread has its own. Not waiting for others, and having all that was
# transformed near, makes it 1.1 to 1.4 times as fast; with 7 MB of sums 0.8 times


def _transform_weights(
    w: Floats, kernel: int, turned: bool, cut: Any, taps: Numbers, lanes: int, small: Floats, u: Floats, thread: int,
    team: int
) -> None:
    """u[place] : [g, o // width, c, o % width] = (G w[g, o, c] Gᵀ)[place].

    w : (groups, O, C, kernel²); turned, (groups, C, O, kernel²), its rows and columns taken backwards.
    taps : where a block's weights are put.
    """
    groups, panels, channels, width = cut
    blocks = channels // ROWS
    first, last = share(groups * panels * blocks, thread, team)
    for job in range(first, last):
        g, panel, block = job // blocks // panels, job // blocks % panels, job % blocks
        target = u.reshape(-1)[job * ROWS * width :]
        transform_block(w[g], kernel, turned, width, panel, block, taps, lanes, small[thread], target, u.shape[1])


def _transform_block(
    w: Floats, kernel: int, turned: bool, width: int, panel: int, block: int, taps: Numbers, lanes: int, small: Floats,
    u: Floats, apart: int
) -> None:
    """Of ROWS channels and a panel of outputs.  apart : how far the next place is in u."""
    side, wide, flat = OUT + kernel - 1, ROWS * width, w.reshape(-1)
    count, outputs, first = kernel * kernel, w.shape[1] if turned else w.shape[0], block * ROWS
    for o in range(panel * width, min((panel + 1) * width, outputs), lanes):  # of so many outputs, side by side
        here = small[o % width :]
        if turned:
            for r in range(ROWS):
                gather(flat, 0, lanes, count, ((first + r) * outputs + o) * count, count, taps, r * count, lanes, here)
        else:
            each = w.shape[1] * count
            gather(flat, o, lanes, each, first * count, ROWS * count, taps, 0, lanes, here)
    by_g(kernel, small, kernel * wide, wide, wide, u, side * apart, apart)


def _transform(
    x: Floats, shape: Any, channels: int, apart: int, way: Any, pad: int, lanes: int, some: Any, t: int,
    strip: Floats, room: Floats, v: Floats
) -> None:
    """v[place] : [t, c] = (Bᵀ X B)[place] of tiles t, t + 1, … in `some` rows of tiles, counted through all images.

    x : from the first of the channels on that are meant.  shape : of these.  channels : what they become, if there is
    a stride.  apart : how far the next image is.
    """
    kernel, tall, columns, stride = way
    side, line, flat = OUT + kernel - 1, OUT * columns + kernel - 1, v.reshape(-1)
    row = line * channels
    for index in range(some[0], some[1]):
        image, first, known = x[index // tall * apart :], index % tall * OUT, 0
        if index > some[0] and first > 0:  # the last rows of tiles before are the first of these
            known = side - OUT
            move(strip, OUT * row, strip, 0, known * row)
        if stride == 1:
            read(image, shape, first + known - pad, pad, strip[known * row :], line, side - known, lanes)
        else:
            read_apart(image, shape, channels, stride, first + known, pad, strip[known * row :], line, side - known,
                       room, lanes)
        for column in range(columns):
            by_b_t(kernel, strip[OUT * column * channels :], row, channels, channels, flat[t * channels :],
                   side * v.shape[1], v.shape[1])
            t += 1


def _transform_gradients(
    dy: Floats, shape: Any, apart: int, way: Any, lanes: int, some: Any, t: int, strip: Floats, e: Floats
) -> None:
    """The same, (A dY Aᵀ)[place]."""
    kernel, tall, columns, _ = way
    side, channels, line, flat = OUT + kernel - 1, shape[0], OUT * columns, e.reshape(-1)
    for index in range(some[0], some[1]):
        read(dy[index // tall * apart :], shape, index % tall * OUT, 0, strip, line, OUT, lanes)
        for column in range(columns):
            by_a(kernel, strip[OUT * column * channels :], line * channels, channels, channels, flat[t * channels :],
                 side * e.shape[1], e.shape[1])
            t += 1


def _transform_outputs(
    m: Floats, shape: Any, way: Any, lanes: int, some: Any, strip: Floats, b: Floats, least: Any, wrong: Floats,
    y: Floats, apart: int
) -> None:
    """y = Aᵀ m A + b of a panel of outputs, a tile after the other.

    m[place] : [t, o].  some : rows of tiles, from one to another; that is another thread's.  apart : how far the next
    image is in y.  wrong : of `transforms.square`.
    """
    kernel, tall, columns, _ = way
    side = OUT + kernel - 1
    channels, line, t, flat = shape[0], OUT * columns, 0, m.reshape(-1)
    for index in range(some[0], some[1]):
        for column in range(columns):
            by_a_t(kernel, flat[t * channels :], side * m.shape[1], m.shape[1], channels,
                   strip[OUT * column * channels :], line * channels, channels, b, least, wrong)
            t += 1
        last = min(shape[1], (some[1] - index // tall * tall) * OUT)
        write(strip, line, y[index // tall * apart :], shape, index % tall * OUT, last, lanes)


def _multiply(
    v: Floats, channels: int, u: Floats, start: int, used: int, rows: Numbers, offsets: Numbers, across: int, m: Floats
) -> None:
    """m[place] = v[place] · u[place] : a panel of outputs, whose weights begin at `start`.

    m may be v, where there is one group, one panel, and no more outputs than channels: a tile is written when all of
    the rows that it is made of have been read. Both lie in the second-level cache then; CIFAR's step became 2 % faster.
    """
    for place in range(u.shape[0]):
        weights = u[place, start:]
        for t in range(0, used, ROWS):
            tile(v[place, t * channels :], rows, 1, weights, offsets, True, m[place, t * across :], across)


def _correlate(
    x: Floats, x_shape: Any, x_apart: int, u: Floats, cut: Any, b: Floats, least: Any, way: Any, count: int,
    together: int, pad: int, lanes: int, rows: Numbers, offsets: Numbers, strips: Floats, rooms: Floats, vs: Floats,
    ms: Floats, wrongs: Floats, y_shape: Any, finite: Any, y: Floats, apart: int, begun: Numbers, thread: int,
    team: int
) -> None:
    """x and y of one dimension, the next image `x_apart` in x and `apart` in y; rows of tiles in all, and how many of
    them are done together. Of a group after the other, so that what its pixels became is near, and of its outputs a
    panel after the other, so that its products are when they are transformed: AlexNet's inference became 5 % faster."""
    groups, panels, each, width = cut
    outputs, strip, v, m = y_shape[0] // groups, strips[thread], vs[thread], ms[thread]
    shape, wrong = (x_shape[0] // groups, x_shape[1], x_shape[2]), wrongs[thread]
    size = shape[0] * shape[1] * shape[2]
    set_all(wrong, 0)
    jobs = -(-count // together)
    job, done = claim(begun, jobs, 1, thread, team)
    while job < done:
        some = job * together, min(count, (job + 1) * together)
        for part in range(groups * panels):
            g, panel = part // panels, part % panels
            if panel == 0:
                transform(x[g * size :], shape, each, x_apart, way, pad, lanes, some, 0, strip, rooms[thread], v)
            first, across = g * outputs + panel * width, min(width, outputs - panel * width)
            multiply(v, each, u, part * each * width, (some[1] - some[0]) * way[2], rows, offsets, across, m)
            transform_outputs(
                m, (across, y_shape[1], y_shape[2]), way, lanes, some, strip, b[first : first + across], least, wrong,
                y[first * y_shape[1] * y_shape[2] :], apart)
        job, done = claim(begun, jobs, 1, thread, team)
    finite[thread] = total(wrong) == 0


def _add_sums(e: Floats, kernel: int, tiles: int, anew: bool, some: Any, db: Floats) -> None:
    """db[o] += Σ of dy over so many tiles, for `some` of the outputs, from one to another.

    They are there already: A dY Aᵀ is dY, as a polynomial, at the points, and with 1 put in for both of its unknowns,
    which is the second of the points, it is the sum of its coefficients.
    """
    (first, last), sums = some, e[(OUT + kernel - 1) + 1]
    if anew:
        set_all(db[first:last], 0)
    for t in range(tiles):
        add(sums[t * db.size + first : t * db.size + last], db[first:])


def _transform_both(
    dy: Floats, dy_shape: Any, dy_apart: int, x: Floats, x_shape: Any, channels: int, way: Any, some: Any, pad: int,
    lanes: int, strips: Floats, rooms: Floats, v: Floats, e: Floats, thread: int, team: int
) -> None:
    """Of x what `_transform` makes, and of dy what `_transform_gradients` does."""
    first, last = share(some[1] - some[0], thread, team)
    mine, before, strip = (some[0] + first, some[0] + last), first * way[2], strips[thread]
    image = x_shape[0] * x_shape[1] * x_shape[2]
    transform(x, x_shape, channels, image, way, pad, lanes, mine, before, strip, rooms[thread], v)
    transform_gradients(dy, dy_shape, dy_apart, way, lanes, mine, before, strip, e)


def _sum_products(
    v: Floats, e: Floats, channels: Any, kernel: int, cut: Any, rows: Numbers, offsets: Numbers, anew: bool,
    small: Floats, sums: Floats, db: Floats, thread: int, team: int
) -> None:
    """sums[place] : [g, panel, c // ROWS] += the tile of v[place]ᵀ · e[place], and db += Σ dy, over the tiles of
    `offsets`: some of the places and of the outputs on each thread."""
    groups, panels, each, width = cut
    outputs = channels[1] // groups
    add_sums(e, kernel, offsets.size, anew, share(db.size, thread, team), db)
    first, last = share(sums.shape[0] * groups * panels, thread, team)
    for part in range(first, last):
        place, g, panel = part // panels // groups, part // panels % groups, part % panels
        add_product(
            v[place, g * each :], channels[0], e[place, g * outputs + panel * width :],
            min(width, outputs - panel * width), width, rows, offsets, anew, small[thread],
            sums[place, (g * panels + panel) * each * width : (g * panels + panel + 1) * each * width])


def _add_product(
    v: Floats, channels: int, e: Floats, across: int, width: int, rows: Numbers, offsets: Numbers, anew: bool,
    small: Floats, sums: Floats
) -> None:
    """sums : [c // ROWS] += the tile of vᵀ · e, of one place: of a group's channels and a panel of `across` outputs.

    A sum for these tiles alone, then added to that of the others: the error grows with the longer of the two.
    """
    c = small[: ROWS * across]
    for start in range(0, sums.size, ROWS * width):
        tile(v[start // width :], rows, channels, e, offsets, True, c, across)
        sum_ = sums[start : start + c.size]
        if anew:
            for j in range(c.size):
                sum_[j] = c[j]
        else:
            for j in range(c.size):
                sum_[j] += c[j]


def _sum_tiles(
    dy: Floats, dy_shape: Any, dy_apart: int, x: Floats, x_shape: Any, way: Any, jobs: Any, pad: int, lanes: int,
    cut: Any, rows: Numbers, steps: Numbers, strips: Floats, rooms: Floats, vs: Floats, es: Floats, small: Floats,
    sums: Floats, dbs: Floats, thread: int, team: int
) -> None:
    """sums[thread] = the products of all places, dbs[thread] = Σ dy, over the thread's own tiles.  jobs : rows of tiles
    in all, and how many of them are done together.  steps : of the tiles in e, of all panels but the last, and of that.

    Of a group after the other, and of its outputs a panel after the other, so that what pixels became is near: of all
    at a time, in AlexNet's second layer it is 5.7 MB, and two threads waited for each other's. It took 25 ms, now 21.
    """
    count, together = jobs
    groups, panels, each, width = cut
    first, last = share(count, thread, team)
    strip, v, e, outputs = strips[thread], vs[thread], es[thread], dy_shape[0] // groups
    maps, gradient = x_shape[0] // groups, dy_shape[1] * dy_shape[2]
    image = maps * x_shape[1] * x_shape[2]
    if first == last:
        sums[thread], dbs[thread] = 0, 0
    for row in range(first, last, together):
        some, anew = (row, min(last, row + together)), row == first
        tiles = (some[1] - some[0]) * way[2]
        for part in range(groups * panels):
            g, panel = part // panels, part % panels
            if panel == 0:
                transform(x[g * image :], (maps, x_shape[1], x_shape[2]), each, groups * image, way, pad, lanes, some,
                          0, strip, rooms[thread], v)
            o, across = g * outputs + panel * width, min(width, outputs - panel * width)
            transform_gradients(dy[o * gradient :], (across, dy_shape[1], dy_shape[2]), dy_apart, way, lanes, some, 0,
                                strip, e)
            add_sums(e, way[0], tiles, anew, (0, across), dbs[thread, o : o + across])
            offsets = steps[panel // max(1, panels - 1), :tiles]
            for place in range(sums.shape[1]):
                add_product(v[place], each, e[place], across, width, rows, offsets, anew, small[thread],
                            sums[thread, place, part * each * width : (part + 1) * each * width])


def _collect(
    sums: Floats, dbs: Floats, cut: Any, kernel: int, taps: Numbers, lanes: int, small: Floats, finite: Any, dw: Floats,
    db: Floats, thread: int, team: int
) -> None:
    """dw[g, o, c] = Gᵀ Σ sums G; db = Σ dbs.  dw : (groups, O, C, kernel²).

    finite[thread] : is what that thread wrote finite?
    sums : (sums of some tiles, places, …), the first becomes that of all.
    taps : where a block's weights are, of all panels but the last, and of that.
    """
    groups, panels, each, width = cut
    blocks = each // ROWS
    finite[thread] = 1
    first, last = share(groups * panels * blocks, thread, team)
    for job in range(first, last):
        g, panel, block = job // blocks // panels, job // blocks % panels, job % blocks
        across, start = min(width, dw.shape[1] - panel * width), job * ROWS * width
        for place in range(sums.shape[1]):
            for some in range(1, sums.shape[0]):
                add(sums[some, place, start : start + ROWS * across], sums[0, place, start:])
        finite[thread] *= collect_block(
            sums[0].reshape(-1)[start:], sums.shape[2], width, kernel, panel, block,
            taps[panel // max(1, panels - 1)], lanes, small[thread], dw[g])
    first, last = share(db.size, thread, team)
    for o in range(first, last):
        db[o] = 0
        for some in range(dbs.shape[0]):
            db[o] += dbs[some, o]


def _collect_block(
    sums: Floats, apart: int, width: int, kernel: int, panel: int, block: int, taps: Numbers, lanes: int,
    small: Floats, dw: Floats
) -> bool:
    """Of ROWS channels and a panel of outputs.  apart : how far the next place is in `sums`."""
    side, wide, wrong = OUT + kernel - 1, ROWS * width, 0
    across = min(width, dw.shape[0] - panel * width)
    by_g_t(kernel, sums, side * apart, apart, ROWS * across, small, kernel * wide, wide)
    count = kernel * kernel
    for j in range(0, across, lanes):
        release(small[j:], taps, ROWS * count, lanes, dw.reshape(-1), panel * width + j, dw.shape[1] * count,
                block * ROWS * count)
    for k in range(count):
        for p in range(k * wide, k * wide + ROWS * across):
            wrong += small[p] - small[p] != 0
    return wrong == 0


transform_block, collect_block = serial(_transform_block), serial(_collect_block)
add_sums = serial(_add_sums)
transform, transform_gradients, transform_outputs = (
    serial(loop) for loop in (_transform, _transform_gradients, _transform_outputs))
multiply, correlate = serial(_multiply), parallel(_correlate, claims=True)
transform_weights = parallel(_transform_weights)
transform_both, sum_products, collect = parallel(_transform_both), parallel(_sum_products), parallel(_collect)
add_product, sum_tiles = serial(_add_product), parallel(_sum_tiles)

LEAST = 256  # output pixels in all images: fewer, and transforming the weights costs more than is gained
STRIDES = (2, 4)  # that `transpose_groups` knows
CHANNELS = 10  # C · O / (C + O): with fewer, transforming the pixels does


@planning
def suits(x: tuple[int, ...], w: tuple[int, ...], y: tuple[int, ...], stride: int, itemsize: int) -> bool:
    """Is this the way to compute that convolution? Filters of 3 × 3 to 5 × 5 pixels, or of as many strides, the
    last of which need not be whole; whole vectors and tiles of channels; with a stride, one group."""
    whole, groups = max(lanes_of(itemsize), ROWS), x[1] // w[1]
    real, channels, kernel = _apart(w, stride, itemsize)
    outputs = w[0] // groups
    return (
        w[2] == w[3] and kernel in POINTS and channels % whole == 0 and outputs % whole == 0
        and (stride == 1 or (stride in STRIDES and stride <= lanes_of(itemsize) and groups == 1))
        and real * outputs >= CHANNELS * (real + outputs) and min(y[2:]) >= 4 and y[0] * y[2] * y[3] >= LEAST
    )


def _apart(w: tuple[int, ...], stride: int, itemsize: int) -> tuple[int, int, int]:
    """If every pixel of a square of the stride is a channel of its own: how many of a group, and, if there is a stride,
    filled up to whole vectors; how many rows the kernel has."""
    channels, whole = w[1] * stride * stride, max(lanes_of(itemsize), ROWS)
    return channels, channels if stride == 1 else -(-channels // whole) * whole, -(-w[2] // stride)


class _Way(NamedTuple):
    """How a convolution is cut up."""

    tiles: tuple[int, int, int, int]  # of which kernel, rows of them in an image, columns, the stride
    together: int  # rows of tiles that are done together
    summed: int  # the same for the gradient of the weights
    apart: bool  # for that, does each thread have tiles and sums of its own? Else they share both
    over: bool  # do products lie over what they are made of?
    cut: tuple[int, ...]  # groups, panels, channels of a group, width of a panel
    offsets: Numbers  # of the taps in a panel of weights
    rows: Numbers  # of the tiles in v
    steps: Numbers  # of the tiles in e; if threads have sums of their own, of all panels but the last, and of that
    taps: Numbers  # of a block's weights, (channel, tap), that are on their way to u
    backwards: Numbers  # the same, every channel's last weight first
    back: Numbers  # of those that come from the sums: of all panels but the last, and of that


def _tiles(together: int, columns: int) -> int:
    """In so many rows, filled up to whole tiles of the product."""
    return -(-together * columns // ROWS) * ROWS


@planning
def _plan(x: Any, w: Any, y: Any, stride: int, itemsize: int, team: int) -> tuple[_Way, Shapes, Shapes]:
    """And the shapes of what `forward` and `weight` need of scratch memory."""
    real, each, kernel = _apart(w, stride, itemsize)
    side = OUT + kernel - 1
    tall, columns = -(-y[2] // OUT), -(-y[3] // OUT)
    together = max(1, min(TILES // columns, -(-x[0] * tall // team)))
    lanes, wide, groups = lanes_of(itemsize), widest(itemsize), x[1] // w[1]
    panels, line, most = -(-(w[0] // groups) // wide), OUT * columns + kernel - 1, max(groups * each, y[1])
    apart = side**2 * groups * panels * each * wide * itemsize <= APART
    summed = max(1, min((OWN if apart else SUMMED) // columns, x[0] * tall))
    numbers = np.arange(max(summed * columns, each, ROWS), dtype=np.int64)
    cut = (groups, panels, each, wide)
    tap, row = np.arange(kernel**2, dtype=np.int64) * ROWS * wide, np.arange(ROWS)[:, None]
    taps, last = tap + row * wide, w[0] // groups - (panels - 1) * wide
    wides = wide if panels > 1 else last, last
    back = np.stack([(tap + row * across).ravel() for across in wides])
    steps = np.stack([numbers * across for across in wides]) if apart else numbers * y[1]
    over = groups == panels == 1 and y[1] <= each
    way = _Way((kernel, tall, columns, stride), together, summed, apart, over, cut, numbers[:real] * wide,
               numbers[:ROWS] * each, steps, taps.ravel(), taps[:, ::-1].ravel(), back)

    own, in_line = team if apart else 1, LINE // itemsize

    def places(numbers: int) -> tuple[int, int]:
        """So many of each place. Between two, an odd number of cache lines: all places of a tile are written together,
        and of what lies a power of two apart a cache keeps only a few (it took three times as long)."""
        lines = -(-numbers // in_line)
        return side**2, (lines + 1 - lines % 2) * in_line

    parts = {
        "strips": (team, (side * line + lanes) * most),
        "rooms": (team, each * line + lanes if stride > 1 else 0),
        "vs": (team, *places(_tiles(together, columns) * each)),
        "ms": (team, *places(0 if over else _tiles(together, columns) * wide)),
        "wrongs": (team, wide),
        "u": places(math.prod(cut)),
        "small": (team, kernel**2 * ROWS * wide),
        "v": (own, *places(_tiles(summed, columns) * (each if apart else groups * each))),
        "e": (own, *places(_tiles(summed, columns) * (max(wides) if apart else y[1]))),
        "sums": (own, *places(math.prod(cut))),
        "dbs": (own, y[1]),
        "finite": (team,),
        "taken": (w[0], each, kernel**2 if stride > 1 else 0),
    }
    return way, tuple(parts[name] for name in CORRELATE), tuple(parts[name] for name in WEIGHT)


CORRELATE = ("strips", "rooms", "vs", "ms", "wrongs", "u", "small", "finite", "taken")
WEIGHT = ("strips", "rooms", "v", "e", "small", "sums", "dbs", "finite", "taken")


def forward(
    x: Floats, w: Floats, b: Floats, stride: int, pad: int, turned: bool, rectify: bool, y: Floats
) -> tuple[Loops, Floats]:
    """As `conv2d_forward`, or with turned weights as `conv2d_backward_data`, and then at stride 1. Afterwards, of each
    thread: is what it wrote finite?

    w : (groups, O, C, kernel²), turned (groups, C, O, kernel²).
    """
    kernel, loops = math.isqrt(w.shape[3]), []
    shape = (y.shape[1], w.shape[1] if turned else w.shape[2], kernel, kernel)
    way, room, _ = _plan(x.shape, shape, y.shape, stride, x.itemsize, threads())
    strips, rooms, vs, ms, wrongs, u, small, finite, taken = scratch(x.dtype, *room)
    if stride > 1:
        loops, w = [loop(take_apart, w[0], (kernel, stride, way.tiles[0]), taken)], taken[None]
    return [
        *loops,
        loop(transform_weights, w, way.tiles[0], turned, way.cut, way.backwards if turned else way.taps,
             lanes_of(x.itemsize), small, u),
        loop(correlate, lying(x), x.shape[1:], images_apart(x), u, way.cut, b, lowest(rectify, x.dtype), way.tiles,
             x.shape[0] * way.tiles[1], way.together, pad, lanes_of(x.itemsize), way.rows, way.offsets, strips, rooms,
             vs, vs if way.over else ms, wrongs, y.shape[1:], finite, lying(y), images_apart(y))], finite


def weight(dy: Floats, x: Floats, stride: int, pad: int, dw: Floats, db: Floats) -> tuple[Loops, Floats]:
    """As `conv2d_backward_weight`, and as `forward`.  dw : (groups, O, C, kernel²)."""
    kernel = math.isqrt(dw.shape[3])
    shape = (dy.shape[1], dw.shape[2], kernel, kernel)
    way, _, room = _plan(x.shape, shape, dy.shape, stride, x.itemsize, threads())
    strips, rooms, v, e, small, sums, dbs, finite, taken = scratch(x.dtype, *room)
    few, tall, columns, _ = way.tiles
    rows, channels, whole = x.shape[0] * tall, way.cut[0] * way.cut[2], dw if stride == 1 else taken[None]
    images, loops = (lying(dy), dy.shape[1:], images_apart(dy), flat(x), x.shape[1:]), []
    if way.apart:
        loops.append(loop(
            sum_tiles, *images, way.tiles, (rows, way.summed), pad, lanes_of(x.itemsize), way.cut, FIRST_ROWS,
            way.steps, strips, rooms, v, e, small, sums, dbs))
    else:
        for first in range(0, rows, way.summed):
            some = first, min(rows, first + way.summed)
            loops.append(loop(
                transform_both, *images, channels, way.tiles, some, pad, lanes_of(x.itemsize), strips, rooms, v[0],
                e[0]))
            loops.append(loop(
                sum_products, v[0], e[0], (channels, dy.shape[1]), few, way.cut, FIRST_ROWS,
                way.steps[: (some[1] - some[0]) * columns], first == 0, small, sums[0], dbs[0]))
    loops.append(loop(
        collect, sums, dbs, way.cut, few, way.back, lanes_of(x.itemsize), small, finite, whole, db))
    if stride > 1:
        loops.append(loop(put_together, taken, (kernel, stride, few), dw[0]))
    return loops, finite
