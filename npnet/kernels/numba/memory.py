"""Arrays of this backend are NumPy's. What copies whole maps does so on all threads."""
import math
import sys
import threading
from collections.abc import Sequence
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

from npnet.kernels.numpy.memory import channels, fill, finish, from_host, receive, room, to_host, upload, view

from .activation import relu_back_here, relu_backward
from .arrays import LINE, aligned, flat, images_apart, lying
from .prepared import Loops, loop, prepared
from .rows import add, add_two
from .team import divided, parallel, piece, share
from .vectors import move

__all__ = [
    "add_up", "channels", "column", "copy", "empty", "fill", "finish", "from_host", "on_one_thread", "receive", "room",
    "to_host", "upload", "view",
]

Floats = NDArray[Any]

SIZE = 8192  # numbers of every part that are added at a time: the sum stays in the cache
PAGE = 2**21  # bytes: a huge page


class _Page:
    """For small arrays, one after another. The system has a table of where pages of memory lie, which the processor
    reads again for every 4 KB of what it has not used for a while; NumPy asks for pages of 2 MB for arrays of 4 MB or
    more. The update of cifar_18pct, 0.4 MB of weights, took an eighth longer with pages of 4 KB."""

    def __init__(self) -> None:
        self.lock, self.free = threading.Lock(), np.empty(0, np.uint8)

    def take(self, size: int) -> NDArray[np.uint8]:
        """So many bytes. All memory is given back when no array in it is left."""
        with self.lock:
            if size > self.free.size:
                memory = np.empty(2 * PAGE, np.uint8)
                self.free = memory[-memory.ctypes.data % PAGE :][:PAGE]
            taken, self.free = self.free[:size], self.free[-(-size // LINE) * LINE :]
            return taken


_page = _Page()


def empty(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Floats:
    size = math.prod(shape)
    if size * dtype.itemsize <= PAGE // 2:
        return _page.take(size * dtype.itemsize).view(dtype).reshape(shape)
    return aligned(size, dtype).reshape(shape)


def _add_up(parts: tuple[Floats, ...], rectified: Floats | None, y: Floats) -> None:
    """Two parts or more, of one dimension."""
    for chunk in range(-(-y.size // SIZE)):
        some = slice(chunk * SIZE, min(y.size, (chunk + 1) * SIZE))
        add_two(parts[0][some], parts[1][some], y[some])
        for i in range(2, len(parts)):
            add(parts[i][some], y[some])
        if rectified is not None:
            relu_back_here(rectified[some], y[some])


def _copy(x: Floats, y: Floats, apart: Any, size: int, count: int, thread: int, team: int) -> None:
    """`count` numbers, `size` of each image; apart : how far the next image's are away in x and in y."""
    first, last = share(count, thread, team)
    while first < last:
        n, begin, some = piece(first, last, size)
        move(x, n * apart[0] + begin, y, n * apart[1] + begin, some)
        first += some


sum_parts, copy_images = divided(_add_up), parallel(_copy)


@prepared
def add_up(parts: Sequence[Floats], rectified: Floats | None, y: Floats) -> Loops:
    if len(parts) == 1:
        return [loop(np.copyto, y, parts[0]), *([] if rectified is None else [loop(relu_backward, y, rectified, y)])]
    row = None if rectified is None else flat(rectified)
    return [loop(sum_parts, tuple(flat(part) for part in parts), row, flat(y))]


@prepared
def copy(x: Floats, y: Floats) -> Loops:
    return [loop(copy_images, lying(x), lying(y), (images_apart(x), images_apart(y)), x.size // x.shape[0], x.size)]


def column(number: int) -> Any:
    return sys.modules["npnet.kernels.numba"]


def on_one_thread() -> None:
    numba.set_num_threads(1)  # of the calling thread
