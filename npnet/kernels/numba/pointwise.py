"""Convolution by 1 × 1: a product of matrices at every pixel, the dimension reductions of GoogLeNet §4.

y[o, p] = b[o] + Σ_c w[o, c] x[c, p]: there are no patches, so with AVX-512 nothing is copied. A tile reads 48 pixels of
every channel (VECTORS · lanes; with AVX2 24), and the weights, where they are; putting either close together first cost
more than it gained, half the time for few outputs. The pixels that are left over in an image (196 = 4 · 48 + 4) are put
together with those of other images, until they fill a tile. The rows of y are asked for before the tile is computed:
15 % on maps of 28 × 28. The next pixels are asked for while these are computed, a line at each step of a tile: 25 %
where there are few outputs. Where caches are slower (`tile.PACKED`), pixels are put close together, through all images,
and none are left over.

An Inception module begins with three such convolutions of the same x. They are one product here, of the three w one
above the other, so that x is read once; on the way back, ∂L/∂x is one sum over the outputs of all three:

    y_i[o, p] = b_i[o] + Σ_j Σ_c w_ij[o, c] x_j[c, p]        with one x_j and several y_i, or one y_i and several x_j.

The gradient of the weights, dw[o, c] = Σ_p dy[o, p] x[c, p], sums over pixels, so those of 48 channels of x are turned
over, once for all dy, to have the channels of a pixel side by side.
"""
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .activation import relu_backward
from .arrays import flat, images_apart, lowest, lying, planning, reshaped, scratch, steps, zeros
from .compile import inlined, serial
from .panels import ask_for_panels, fill_panels
from .prepared import Loops, loop, prepared
from .rows import add, set_all, total
from .team import alone, claim, parallel, piece, share, threads
from .tile import FIRST_ROWS, PACKED, ROWS, STEPS, VECTORS, even_steps, in_vector, tile, whole, widest
from .tile import lanes as lanes_of
from .turned import gather
from .vectors import add_to, move, move_plus, will_read, will_write

Floats = NDArray[Any]
Numbers = NDArray[np.int64]
Several = tuple[Floats, ...]

SEVERAL = 3  # convolutions at a time, made up with empty ones: one compiled kernel does for one, two and three
PIXELS = 400  # that the gradient of the weights sums over at a time; with 100 it takes 1.15 times as long with AVX2
TOGETHER, SUMS = 4, 24_000
"""So many panels are brought close together at a time, if their sums, of all outputs, are no more numbers than these:
96 KB of float32, which stay in the second-level cache."""
ASKED = 4  # every so manyth tile asks for what is packed next: where it is takes a twentieth of a tile to find out
WRITTEN, ADDED, RECTIFIED = range(3)  # what becomes of y: see `_put`


def _put(
    c: Floats, start: int, value: Any, least: Any, onto: Any, y: Floats, place: int, count: int
) -> None:
    """y = value + what is in the tile, or `least` if that is less; or what is in the tile is added to y, and then
    perhaps 0 put where what a ReLU made, which lies as y does, is not greater than 0.

    onto : WRITTEN, ADDED or RECTIFIED, and what the ReLU made.
    """
    if onto[0] == WRITTEN:
        move_plus(c, start, value, least, y, place, count)
    elif onto[0] == ADDED:
        add_to(c, start, None, y, place, count)
    else:
        add_to(c, start, onto[1], y, place, count)


put = inlined(_put)


def _multiply_panels(
    xs: Several, whence: Numbers, ws: Several, way: Any, bs: Several, least: Any, onto: Any, pixels: int, some: Any,
    offsets: Numbers, rows: Numbers, lanes: int, c: Floats, ys: Several, whither: Numbers
) -> None:
    """Panels of VECTORS · lanes pixels, from one to another, counted through all images; each lies within an image.

    whence[j], whither[i] : the first map, how many maps the next image's is away, how many maps; none, if there are no
    more.  way : how far the next output and the next tap are in w.  rows[i, 1] : rows of the last tile of y_i.
    """
    wide = VECTORS * lanes
    panels = pixels // wide
    for job in range(some[0], some[1]):
        n, p = job // panels, job % panels * wide
        then = wide if p + wide < panels * wide else whence[0, 1] * pixels - p  # how far behind is the next panel?
        for i in range(len(ys)):
            y, first, outputs = ys[i], (whither[i, 0] + n * whither[i, 1]) * pixels + p, whither[i, 2]
            for o in range(0, outputs, ROWS):
                # the first four tiles ask for a line each: 48 pixels lie in three, or four if they begin within one
                few, ahead = min(ROWS, outputs - o), then + o // ROWS * lanes if i == 0 and o < 4 * ROWS else 0
                for r in range(few):
                    will_write(y, first + (o + r) * pixels, wide)
                    if onto[0] == RECTIFIED:
                        will_read(onto[1], first + (o + r) * pixels, wide)
                for j in range(len(xs)):
                    taps = whence[j, 2]
                    if taps > 0:
                        weights, x = ws[i + j][o * way[0] :], xs[j][(whence[j, 0] + n * whence[j, 1]) * pixels + p :]
                        tile(weights, rows[i, few // ROWS], way[1], x, offsets[:taps], j == 0, c, wide, ahead)
                for r in range(few):
                    put(c, r * wide, bs[i][o + r], least, onto, y, first + (o + r) * pixels, wide)


def _multiply_rests(
    xs: Several, whence: Numbers, ws: Several, way: Any, bs: Several, least: Any, onto: Any, pixels: int, images: Any,
    steps: Numbers, rows: Numbers, lanes: int, band: Floats, c: Floats, ys: Several, whither: Numbers
) -> None:
    """The pixels of these images that are left over by whole panels, side by side in the band: a row for each tap."""
    wide = VECTORS * lanes
    rest = pixels % wide
    across = whole((images[1] - images[0]) * rest, lanes)
    row = 0
    for j in range(len(xs)):
        for tap in range(whence[j, 2]):
            for n in range(images[0], images[1]):
                last = (whence[j, 0] + n * whence[j, 1] + tap + 1) * pixels
                move(xs[j], last - rest, band, row * wide + (n - images[0]) * rest, rest)
            row += 1
    for i in range(len(ys)):
        y, outputs = ys[i], whither[i, 2]
        for o in range(0, outputs, ROWS):
            few, row = min(ROWS, outputs - o), 0
            for j in range(len(xs)):
                taps = whence[j, 2]
                if taps > 0:
                    weights, x = ws[i + j][o * way[0] :], band[row * wide :]
                    tile(weights, rows[i, few // ROWS], way[1], x, steps[:taps], j == 0, c, across)
                row += taps
            for r in range(few):
                for n in range(images[0], images[1]):
                    last = (whither[i, 0] + n * whither[i, 1] + o + r + 1) * pixels
                    start = r * across + (n - images[0]) * rest
                    put(c, start, bs[i][o + r], least, onto, y, last - rest, rest)


def _multiply(
    xs: Several, whence: Numbers, ws: Several, way: Any, bs: Several, least: Any, onto: Any, sizes: Any,
    offsets: Numbers, steps: Numbers, rows: Numbers, lanes: int, bands: Floats, tiles: Floats, ys: Several,
    whither: Numbers, thread: int, team: int
) -> None:
    """sizes : images, pixels, and how many images' rests are put together."""
    images, pixels, together = sizes
    panels = share(images * (pixels // (VECTORS * lanes)), thread, team)
    multiply_panels(xs, whence, ws, way, bs, least, onto, pixels, panels, offsets, rows, lanes, tiles[thread], ys,
                    whither)
    first, last = share(-(-images // together) if pixels % (VECTORS * lanes) > 0 else 0, thread, team)
    for job in range(first, last):
        few = job * together, min(images, (job + 1) * together)
        multiply_rests(xs, whence, ws, way, bs, least, onto, pixels, few, steps, rows, lanes, bands[thread],
                       tiles[thread], ys, whither)


def _pack_weights(
    ws: Several, way: Any, whence: Numbers, whither: Numbers, step: int, packed: Floats, thread: int, team: int
) -> None:
    """packed = the weights in the order in which `_multiply_some` reads them: of some taps ROWS outputs one after the
    other, each with room for STEPS taps, or, of w turned, for ROWS outputs of each of STEPS taps.

    Where rows of w lie a power of two apart, a cache keeps few of them, and of w turned each step of a tile reads
    another line for the sake of ROWS numbers.  step : from one tap to the next.
    """
    blocks, block = 0, 0
    for i in range(whither.shape[0]):
        blocks += -(-whither[i, 2] // ROWS)
    for j in range(whence.shape[0]):
        some = even_steps(whence[j, 2]) if whence[j, 2] > 0 else 1
        for tap in range(0, whence[j, 2], some):
            taps, (first, last), before = min(some, whence[j, 2] - tap), share(blocks, thread, team), block
            for i in range(whither.shape[0]):
                for o in range(0, whither[i, 2], ROWS):
                    few, start, place = min(ROWS, whither[i, 2] - o), o * way[0] + tap * way[1], block * ROWS * STEPS
                    if first <= block - before < last and step == 1:
                        for r in range(ROWS):
                            move(ws[i + j], start + r % few * way[0], packed, place + r * STEPS, taps)
                    elif first <= block - before < last:
                        w = ws[i + j]
                        for t in range(taps):
                            for r in range(ROWS):
                                packed[place + t * ROWS + r] = w[start + t * way[1] + r % few]
                    block += 1


def _multiply_packed(
    xs: Several, whence: Numbers, weights: Floats, step: int, bs: Several, least: Any, onto: Any, sizes: Any,
    steps: Numbers, rows: Numbers, lanes: int, panels: Floats, tiles: Floats, ys: Several, whither: Numbers,
    begun: Numbers, thread: int, team: int
) -> None:
    """As `_multiply`. Pixels are counted through all images, so a panel may lie in two of them.

    weights : as `_pack_weights` makes them.  sizes : images, pixels, pixels of some panels, tiles of outputs.
    """
    jobs = -(-sizes[0] * sizes[1] // sizes[2])
    job, done = claim(begun, jobs, 1, thread, team)
    while job < done:
        multiply_some(xs, whence, weights, step, bs, least, onto, sizes, job * sizes[2], steps, rows, lanes,
                      panels[thread], tiles[thread], ys, whither)
        job, done = claim(begun, jobs, 1, thread, team)


def _multiply_some(
    xs: Several, whence: Numbers, weights: Floats, step: int, bs: Several, least: Any, onto: Any, sizes: Any,
    begin: int, steps: Numbers, rows: Numbers, lanes: int, panels: Floats, c: Floats, ys: Several, whither: Numbers
) -> None:
    """Pixels from `begin` on: of some of the taps all panels, of each of these all outputs.

    What is packed next, and where the last sums go, is asked for meanwhile.
    """
    images, pixels, some_pixels, blocks = sizes
    wide, room, before, all_pixels = VECTORS * lanes, ROWS * VECTORS * lanes, 0, images * pixels
    end = min(all_pixels, begin + some_pixels)
    many = -(-(end - begin) // wide)
    for j in range(len(xs)):
        some = even_steps(whence[j, 2]) if whence[j, 2] > 0 else 1
        for tap in range(0, whence[j, 2], some):
            count = min(some, whence[j, 2] - tap)
            fill_panels(xs[j], whence[j], pixels, tap, count, begin, end, wide, panels)
            k, then, p = j, tap + count, begin
            if then == whence[j, 2]:
                k, then = j + 1, 0
            last = k == len(xs) or whence[k, 2] == 0
            if last:
                k, p = 0, begin + some_pixels
            more = min(even_steps(whence[k, 2]), whence[k, 2] - then)
            each, job = ASKED * -(-more // (blocks * many)), 0
            for panel in range(many):
                first = begin + panel * wide
                stop, block = min(end, first + wide), before
                across = whole(stop - first, lanes)
                for i in range(len(ys)):
                    for o in range(0, whither[i, 2], ROWS):
                        few, sums = min(ROWS, whither[i, 2] - o), c[job * room :]
                        if job % ASKED == 0:
                            next_ = job // ASKED * each
                            ask_for_panels(xs[k], whence[k], pixels, then + next_, min(each, more - next_), p,
                                           min(all_pixels, p + some_pixels), False)
                        if last:
                            ask_for_panels(ys[i], whither[i], pixels, o, few, first, stop, True)
                            if onto[0] == RECTIFIED:
                                ask_for_panels(onto[1], whither[i], pixels, o, few, first, stop, False)
                        tile(weights[block * ROWS * STEPS :], rows, step, panels[panel * STEPS * wide :],
                             steps[:count], j + tap == 0, sums, across)
                        if last:
                            write(sums, across, bs[i], least, onto, pixels, o, few, first, stop, ys[i], whither[i])
                        block, job = block + 1, job + 1
            before += blocks


def _write(
    c: Floats, across: int, b: Floats, least: Any, onto: Any, pixels: int, o: int, few: int, begin: int, end: int,
    y: Floats, there: Numbers
) -> None:
    """`put` for the rows of a tile: outputs from `o` on, of pixels counted through all images."""
    p = begin
    while p < end:
        n, first, count = piece(p, end, pixels)
        start = (there[0] + n * there[1] + o) * pixels + first
        for r in range(few):
            if count == VECTORS * in_vector(c):
                put(c, r * across, b[o + r], least, onto, y, start + r * pixels, VECTORS * in_vector(c))
            else:
                put(c, r * across + p - begin, b[o + r], least, onto, y, start + r * pixels, count)
        p += count


def _sum_products(
    dys: Several, whence: Numbers, x: Floats, there: Any, pixels: int, some: Any, steps: Numbers, rows: Numbers,
    lanes: int, panel: Floats, c: Floats, partial: Floats, db: Floats
) -> None:
    """partial[c // width, block of o] += the tile of Σ_p dy[o, p] x[c, p]; db[o] += Σ_p dy[o, p].

    some : images from one to another, and pixels of each.  there : of x, as a row of `whence`.
    """
    first, last, begin, end = some
    count, wide, channels = end - begin, VECTORS * lanes, there[2]
    for part in range(partial.shape[0]):
        for n in range(first, last):
            for channel in range(part * wide, min(channels, (part + 1) * wide), lanes):
                gather(x, there[0] + n * there[1] + channel, min(lanes, channels - channel), pixels, begin, count,
                       steps, 0, lanes, panel[(n - first) * count * wide + channel % wide :])
        across = whole(channels - part * wide, lanes)
        block, row = 0, 0
        for i in range(len(dys)):
            for o in range(0, whence[i, 2], ROWS):
                few = min(ROWS, whence[i, 2] - o)
                for n in range(first, last):
                    start = (whence[i, 0] + n * whence[i, 1] + o) * pixels + begin
                    source = dys[i][start:]
                    turned = panel[(n - first) * count * wide :]
                    tile(source, rows[i, few // ROWS], 1, turned, steps[:count], n == first, c, across)
                    if part == 0:
                        for r in range(few):
                            db[row + r] += total(dys[i][start + r * pixels : start + r * pixels + count])
                add(c[: ROWS * across], partial[part, block, : ROWS * across])
                block, row = block + 1, row + few


def _backward_weight(
    dys: Several, whence: Numbers, x: Floats, there: Any, sizes: Any, steps: Numbers, rows: Numbers, lanes: int,
    panels: Floats, tiles: Floats, partial: Floats, db: Floats, thread: int, team: int
) -> None:
    """sizes : images, pixels, how many images are summed over at a time, and in how many parts of an image."""
    images, pixels, together, parts = sizes
    set_all(partial[thread].reshape(-1), 0)
    set_all(db[thread], 0)
    first, last = share(-(-images // together) * parts, thread, team)
    for job in range(first, last):
        n, part = job // parts * together, job % parts
        some = n, min(images, n + together), pixels * part // parts, pixels * (part + 1) // parts
        sum_products(dys, whence, x, there, pixels, some, steps, rows, lanes, panels[thread], tiles[thread],
                     partial[thread], db[thread])


def _collect(partial: Floats, db: Floats, block: int, row: int, lanes: int, dw: Floats, db_i: Floats) -> None:
    """dw[o, c] and db[o] of one convolution: sums over the threads, always in the same order."""
    wide = VECTORS * lanes
    for o in range(dw.shape[0]):
        for part in range(partial.shape[1]):
            count, across = min(wide, dw.shape[1] - part * wide), whole(dw.shape[1] - part * wide, lanes)
            start, target = o % ROWS * across, dw[o, part * wide : part * wide + count]
            move(partial[0, part, block + o // ROWS], start, target, 0, count)
            for thread in range(1, partial.shape[0]):
                add(partial[thread, part, block + o // ROWS, start : start + count], target)
        db_i[o] = 0
        for thread in range(partial.shape[0]):
            db_i[o] += db[thread, row + o]


multiply_panels, multiply_rests, sum_products = (
    serial(_multiply_panels), serial(_multiply_rests), serial(_sum_products))
write, multiply_some = serial(_write), serial(_multiply_some)
pack_weights, multiply_packed = parallel(_pack_weights), parallel(_multiply_packed, claims=True)
multiply, backward_weight, collect = parallel(_multiply), parallel(_backward_weight), alone(_collect)


def suits(w: tuple[int, ...], stride: int, pad: int) -> bool:
    """Is it a convolution by 1 × 1 that leaves no pixel out?"""
    return w[2:] == (1, 1) and stride == 1 and pad == 0


class Maps(NamedTuple):
    """Some maps of every image: those of a group, or all."""

    first: int
    apart: int  # maps from one image to the next
    channels: int


def _of_group(x: Floats, group: int, groups: int) -> Maps:
    """The maps of x (N, C, H, W) that belong to a group of channels."""
    return Maps(x.shape[1] // groups * group, images_apart(x) // (x.shape[2] * x.shape[3]), x.shape[1] // groups)


@planning
def _places(maps: tuple[Maps, ...], step: int) -> tuple[Numbers, Numbers]:
    """`maps` as whole numbers, and where the rows of a tile are, `step` apart: of the last tile of each, which may be
    smaller (then the first row takes the place of those that are missing), and of all others."""
    rows, lacking = np.arange(ROWS), max(0, SEVERAL - len(maps))
    last = [np.where(rows < (m.channels % ROWS or ROWS), rows, 0) for m in maps] + [rows] * lacking
    return np.array([*maps, *[(0, 0, 0)] * lacking]), np.array([[some * step, rows * step] for some in last])


def _filled_up(parts: Sequence[Floats]) -> tuple[Floats, ...]:
    """With the last one, which is not used again."""
    rows = [lying(part) for part in parts]
    return tuple(rows + rows[-1:] * (SEVERAL - len(rows)))


def _product(
    xs: Sequence[Floats], whence: tuple[Maps, ...], ws: Sequence[Floats], turned: bool, bs: Sequence[Floats],
    rectify: bool, ys: Sequence[Floats], whither: tuple[Maps, ...], onto: int = WRITTEN,
    rectified: Floats | None = None,
) -> Loops:
    """y_i = b_i + Σ_j w x_j, of the maps named.  ws : each (outputs, taps), turned (taps, outputs).

    onto, rectified : as for `_put`.
    """
    x, team = xs[0], threads()
    images, pixels, (lanes, wide) = x.shape[0], x.shape[2] * x.shape[3], (lanes_of(x.itemsize), widest(x.itemsize))
    most, taps = max(maps.channels for maps in whence), sum(maps.channels for maps in whence)
    way = (1, ws[0].shape[1]) if turned else (ws[0].shape[1], 1)
    targets, rows = _places(whither, way[0])
    where = onto, lying(ys[0] if rectified is None else rectified)
    if PACKED:
        blocks = sum(-(-maps.channels // ROWS) for maps in whither)
        many = max(1, min(TOGETHER, SUMS // (blocks * ROWS * wide), -(-images * pixels // wide) // (2 * team)))
        packed, panels, tiles = scratch(
            x.dtype, (blocks * ROWS * sum(-(-maps.channels // STEPS) for maps in whence) * STEPS,),
            (team, many * STEPS * wide), (team, many * blocks * ROWS * wide))
        sources, step, row = _places(whence, 1)[0], ROWS if turned else 1, 1 if turned else STEPS
        return [
            loop(pack_weights, _filled_up(ws), way, sources, targets, step, packed),
            loop(multiply_packed, _filled_up(xs), sources, packed, step, _filled_up(bs), lowest(rectify, x.dtype),
                 where, (images, pixels, many * wide, blocks), steps(STEPS, wide), FIRST_ROWS * row, lanes, panels,
                 tiles, _filled_up(ys), targets)]
    together = max(1, min(wide // (pixels % wide or wide), -(-images // team)))
    bands, tiles = scratch(x.dtype, (team, taps * wide), (team, ROWS * wide))
    return [loop(
        multiply, _filled_up(xs), _places(whence, 1)[0], _filled_up(ws), way, _filled_up(bs),
        lowest(rectify, x.dtype), where, (images, pixels, together), steps(most, pixels), steps(taps, wide), rows,
        lanes, bands, tiles, _filled_up(ys), targets)]


def _weight(
    dys: Sequence[Floats], whence: tuple[Maps, ...], x: Floats, there: Maps, dws: Sequence[Floats],
    dbs: Sequence[Floats]
) -> Loops:
    """dw_i = dy_i xᵀ, summed over all pixels, and db_i.  dws : each (outputs, channels)."""
    team, lanes, wide = threads(), lanes_of(x.itemsize), widest(x.itemsize)
    images, pixels = x.shape[0], x.shape[2] * x.shape[3]
    parts, together = -(-pixels // PIXELS), max(1, min(PIXELS // pixels, -(-images // team)))
    blocks = [-(-maps.channels // ROWS) for maps in whence]
    panels, tiles, partial, db = scratch(
        x.dtype, (team, -(-pixels // parts) * together * wide), (team, ROWS * wide),
        (team, -(-there.channels // wide), sum(blocks), ROWS * wide), (team, sum(maps.channels for maps in whence)))
    sources, rows = _places(whence, pixels)
    loops = [loop(
        backward_weight, _filled_up(dys), sources, flat(x), tuple(there), (images, pixels, together, parts),
        steps(-(-pixels // parts), wide), rows, lanes, panels, tiles, partial, db)]
    block, row = 0, 0
    for maps, some, dw, db_i in zip(whence, blocks, dws, dbs, strict=True):
        loops.append(loop(collect, partial, db, block, row, lanes, dw, db_i))
        block, row = block + some, row + maps.channels
    return loops


def _matrices(ws: Sequence[Floats]) -> list[Floats]:
    return [reshaped(w, w.shape[:2]) for w in ws]


def _all(xs: Sequence[Floats]) -> tuple[Maps, ...]:
    return tuple(_of_group(x, 0, 1) for x in xs)


@prepared
def conv1x1_forward(
    x: Floats, ws: Sequence[Floats], bs: Sequence[Floats], rectify: bool, ys: Sequence[Floats]
) -> Loops:
    return _product([x], _all([x]), _matrices(ws), False, bs, rectify, ys, _all(ys))


@prepared
def conv1x1_backward_weight(dys: Sequence[Floats], x: Floats, dws: Sequence[Floats], dbs: Sequence[Floats]) -> Loops:
    return _weight(dys, _all(dys), x, _all([x])[0], _matrices(dws), dbs)


@prepared
def conv1x1_backward_data(
    dys: Sequence[Floats], ws: Sequence[Floats], add: bool, rectified: Floats | None, dx: Floats
) -> Loops:
    none, read = [zeros(dx.shape[1], dx.dtype)], rectified if add else None
    onto = WRITTEN if not add else ADDED if rectified is None else RECTIFIED
    loops = _product(  # dx and `rectified` must be whole arrays, for they are read alike
        dys, _all(dys), _matrices(ws), True, none, False, [reshaped(dx, dx.shape)], _all([dx]), onto,
        None if read is None else flat(read))
    return loops if read is rectified else [*loops, loop(relu_backward, dx, rectified, dx)]


def _groups(w: Floats, b: Floats, groups: int) -> Iterator[tuple[int, list[Floats], list[Floats]]]:
    """Of each group its number, its weights (outputs, taps) and its biases."""
    outputs, biases = w.shape[0] // groups, b.size // groups
    for g in range(groups):
        yield g, _matrices([w[g * outputs : (g + 1) * outputs]]), [b[g * biases : (g + 1) * biases]]


def forward(x: Floats, w: Floats, b: Floats, groups: int, rectify: bool, y: Floats) -> Loops:
    """As `conv2d_forward`, with a single pixel to a kernel."""
    return [
        part for g, ws, bs in _groups(w, b, groups)
        for part in _product([x], (_of_group(x, g, groups),), ws, False, bs, rectify, [y], (_of_group(y, g, groups),))]


def weight(dy: Floats, x: Floats, groups: int, dw: Floats, db: Floats) -> Loops:
    return [
        part for g, dws, dbs in _groups(dw, db, groups)
        for part in _weight([dy], (_of_group(dy, g, groups),), x, _of_group(x, g, groups), dws, dbs)]


def data(dy: Floats, w: Floats, groups: int, dx: Floats) -> Loops:
    return [
        part for g, ws, bs in _groups(w, zeros(dx.shape[1], dx.dtype), groups)
        for part in _product(
            [dy], (_of_group(dy, g, groups),), ws, True, bs, False, [dx], (_of_group(dx, g, groups),))]
