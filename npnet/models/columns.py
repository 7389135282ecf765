"""AlexNet on two processors that each hold half of every layer. AlexNet §3.2, Figure 2.

In `alexnet` the two GPUs are two groups of channels. Here they are two threads, each with layers of its own: half the
kernels of each. They see each other's work only where the paper's lines cross, before conv3 and before each fully
connected layer; there each hands its half over, and on the way back the gradient of the half that was the other's. The
program of 2012 had fc8 and the softmax on one of them: so has this.
"""
import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.kernels import Array, Shape, using
from npnet.layers import LRN, Conv2D, Cost, Dense, Dropout, Layer, LRNWithin, MaxPool2D, Parameter, ReLU, Sequential
from npnet.models.summary import aligned

COLUMNS = 2


class Crossing:
    """Where the columns meet: each says where what the other needs lies, waits, and takes a copy of what is for it.

    sent : bytes that have gone across, forward and backward, of all columns.
    """

    def __init__(self, name: str, barrier: threading.Barrier) -> None:
        self.name, self._barrier = name, barrier
        self._there: list[Array | None] = [None] * COLUMNS
        self.sent = {"forward": 0, "backward": 0}
        self._lock = threading.Lock()

    def swap(self, column: int, memory: Layer, name: str, mine: Array | None, way: str) -> Array | None:
        """Leave `mine` for the other column (None: it needs nothing), and get a copy of what it left, in an array of
        that name of `memory`."""
        memory.kernels.finish()
        self._there[column] = mine
        if mine is not None:
            with self._lock:
                self.sent[way] += math.prod(mine.shape) * mine.dtype.itemsize
        self._barrier.wait()
        theirs, copy = self._there[1 - column], None
        if theirs is not None:
            copy = memory.like(name, theirs)
            memory.kernels.receive(theirs, copy)
        self._barrier.wait()  # until the other has it too: before that, nothing is written over
        return copy


class Column:
    """Half of a net: stages of layers, a crossing before each but the first.

    number : 0 or 1; the first has the last layer.
    apart : has it another memory than the first, where the images are?
    """

    def __init__(
        self, number: int, stages: Sequence[Sequential | None], crossings: Sequence[Crossing], apart: bool
    ) -> None:
        self.number, self.stages, self.crossings, self.apart = number, stages, crossings, apart
        self._memory = Layer()

    def forward(self, x: Array, train: bool) -> Array:
        if self.apart:
            images = self._memory.like("x", x)
            self._memory.kernels.receive(x, images)
            x = images
        for i, stage in enumerate(self.stages):
            if i:
                x = self._joined(i, x)
            if stage is not None:
                x = stage.forward(x, train)
        return x

    def _joined(self, i: int, half: Array) -> Array:
        """(N, F, …) → (N, 2 F, …): both halves, each where it stands in the whole net."""
        memory, k = self._memory, self._memory.kernels
        goes = i < len(self.stages) - 1 or self.number  # to the other, which needs it for a stage of its own
        other = self.crossings[i - 1].swap(self.number, memory, f"theirs{i}", half if goes else None, "forward")
        if other is None:  # this column ends here
            return half
        n, features, *rest = half.shape
        area: Shape = tuple(rest) or (1, 1)
        whole = memory.array(f"whole{i}", (n, COLUMNS * features, *area), half.dtype)
        for number, part in ((self.number, half), (1 - self.number, other)):
            k.copy(part.reshape((n, features, *area)), k.channels(whole, number * features, features))
        return whole.reshape((n, COLUMNS * features, *rest))

    def backward_parameters(self, dy: Array | None) -> None:
        for i in reversed(range(len(self.stages))):
            stage = self.stages[i]
            if not i:
                assert stage is not None
                assert dy is not None
                stage.backward_parameters(dy)
            else:
                dy = self._parted(i, stage.backward(dy) if stage is not None and dy is not None else None)

    def _parted(self, i: int, whole: Array | None) -> Array:
        """(N, 2 F, …) → (N, F, …): this column's half, and what the other's work adds to it. None: only the latter."""
        memory, k = self._memory, self._memory.kernels
        mine, parts = None, []
        if whole is not None:
            n, features, *rest = whole.shape
            half, area = features // COLUMNS, tuple(rest) or (1, 1)
            maps = whole.reshape((n, features, *area))
            own, other = (memory.array(f"{what}{i}", (n, half, *area), whole.dtype) for what in ("own", "other"))
            for number, part in ((self.number, own), (1 - self.number, other)):
                k.copy(k.channels(maps, number * half, half), part)
            mine = other.reshape((n, half, *rest))
            parts.append(own.reshape((n, half, *rest)))
        theirs = self.crossings[i - 1].swap(self.number, memory, f"added{i}", mine, "backward")
        if theirs is not None:
            parts.append(theirs)
        dx = memory.like(f"dx{i}", parts[0])
        k.add_up(parts, None, dx)
        return dx


class TwoColumns(Layer):
    """`net` as two halves that run at the same time, each on a thread of its own. AlexNet §3.2.

    It begins with the net's weights as they are, and computes what the net does, to rounding, dropout included: its
    masks are drawn for the whole layer. It trains as a net does; `gather` brings its weights back.

    Parameters
    ----------
    net : Sequential
        Of `alexnet`: two groups in some convolutions, LRN within each, an even number of everything but classes.

    Raises
    ------
    ValueError
        If the net is not one that falls into two columns.
    """

    def __init__(self, net: Sequential) -> None:
        super().__init__()
        self.net = net
        cuts = [i for i in range(1, len(net)) if _crosses(net, i)]
        if len(cuts) < 2:
            raise ValueError("net must have two columns: convolutions of two groups, and behind them dense layers")
        barrier = threading.Barrier(COLUMNS)
        self.crossings = [Crossing(_reader(net, i), barrier) for i in cuts]
        self._barrier = barrier
        pieces = [range(a, b) for a, b in zip([0, *cuts], [*cuts, len(net)], strict=True)]
        self.columns = []
        homes = [self.kernels.column(number) for number in range(COLUMNS)]
        for number, home in enumerate(homes):
            with using(home):
                stages: list[Sequential | None] = [
                    Sequential(**{net.names[i]: _half(net, i) for i in piece}) for piece in pieces[:-1]]
                last = {} if number else {net.names[i]: _half(net, i, whole=True) for i in pieces[-1]}
                stages.append(Sequential(**last) if last else None)
                self.columns.append(Column(number, stages, self.crossings, home is not homes[0]))
        self._threads = [ThreadPoolExecutor(1, f"column{number}", self.kernels.on_one_thread)
                         for number in range(COLUMNS)]
        self.scatter()

    def children(self) -> list[Layer]:
        return [stage for column in self.columns for stage in column.stages if stage is not None]

    def parameters(self) -> list[Parameter]:
        return [p for part in self.children() for p in part.parameters()]

    def scatter(self) -> None:
        """Each column's weights ← its half of the net's."""
        whole = {p.name: p for p in self.net.parameters()}
        for column in self.columns:
            for stage in column.stages:
                for p in stage.parameters() if stage is not None else []:
                    host = whole[p.name].numpy()
                    p.astype(whole[p.name].dtype)
                    first = 0 if p.shape == host.shape else column.number * p.shape[0]
                    p.assign(np.ascontiguousarray(host[first : first + p.shape[0]]))
                    p.rate, p.decay = whole[p.name].rate, whole[p.name].decay

    def gather(self, gradients: bool = False) -> dict[str, NDArray[Any]]:
        """Of every parameter of the net what the columns hold, put together; or the gradients."""
        found: dict[str, list[NDArray[Any]]] = {}
        for p in self.parameters():
            found.setdefault(p.name, []).append(p.kernels.to_host(p.grad) if gradients else p.numpy())
        return {name: np.concatenate(parts) for name, parts in found.items()}

    def forward(self, x: Array, train: bool = True) -> Array:
        """(N, C, H, W) → (N, K)."""
        self.kernels.finish()  # the images are there
        return self._both(lambda column: column.forward(x, train))[0]  # type: ignore[no-any-return]

    def backward_parameters(self, dy: Array) -> None:
        self.kernels.finish()
        self._both(lambda column: column.backward_parameters(None if column.number else dy))

    def _both(self, work: Callable[[Column], Any]) -> list[Any]:
        """`work` of both columns at once. If one fails, the other does not wait for it for ever."""
        def run(column: Column) -> Any:
            try:
                return work(column)
            except BaseException:
                self._barrier.abort()
                raise

        jobs = [thread.submit(run, column) for thread, column in zip(self._threads, self.columns, strict=True)]
        errors = [error for job in jobs if (error := job.exception()) is not None]
        if errors:
            self._barrier.reset()
            raise next((e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0])
        return [job.result() for job in jobs]

    def output_shape(self, input_shape: Shape) -> Shape:
        return self.net.output_shape(input_shape)

    def cost(self, input_shape: Shape) -> Cost:
        return self.net.cost(input_shape)

    def __repr__(self) -> str:
        return f"TwoColumns({self.net!r})"


def exchanged(net: Sequential, input_shape: Shape) -> list[tuple[str, int]]:
    """Before which layers the columns exchange, and how many numbers of one image each sends to the other (before the
    last layer, only the second to the first; backward as many, the other way round)."""
    found, shape = [], input_shape
    for i, layer in enumerate(net.layers):
        if i and _crosses(net, i):
            found.append((_reader(net, i), int(np.prod(shape)) // COLUMNS))
        shape = layer.output_shape(shape)
    return found


def text(net: Layer, input_shape: Shape, batch: int = 128) -> str:
    """`exchanged` as a table. Raises ValueError for a net that does not fall into two columns."""
    if not isinstance(net, Sequential):
        raise ValueError("net must be alexnet's: no other has two columns")
    for i in range(len(net)):
        _half(net, i, whole=i == len(net) - 1)
    rows = exchanged(net, input_shape)
    table = [("before", "numbers of an image", f"megabytes of a batch of {batch}", "")]
    for name, count in rows:
        last = name == rows[-1][0]
        table.append((name, f"{count:,}", f"{count * batch * 4 * (1 if last else COLUMNS) / 1e6:.1f}",
                      "to the column that has the last layer" if last else "both ways together"))
    return "\n".join([*aligned(table, "<>><"), "forward; backward the same, the other way round"])


def _crosses(net: Sequential, i: int) -> bool:
    """Does layer i see both columns? Dropout before a fully connected one sees both too, so that its mask is the whole
    net's."""
    layer = net.layers[i]
    if isinstance(layer, Dropout):
        return isinstance(net.layers[i + 1], Dense) if i + 1 < len(net) else False
    if isinstance(layer, Dense):
        return not isinstance(net.layers[i - 1], Dropout)
    return isinstance(layer, Conv2D) and layer.groups == 1


def _reader(net: Sequential, i: int) -> str:
    """The layer with weights for whose sake the columns meet before layer i."""
    return net.names[i] if not isinstance(net.layers[i], Dropout) else net.names[i + 1]


def _half(net: Sequential, i: int, whole: bool = False) -> Layer:
    """Layer i as one column has it: half of its outputs, or all."""
    layer, name = net.layers[i], net.names[i]
    if isinstance(layer, Conv2D):
        if layer.groups not in (1, COLUMNS) or layer.out_channels % COLUMNS:
            raise ValueError(f"{name}: groups (={layer.groups}) and out_channels (={layer.out_channels}) must be 1 or "
                             f"{COLUMNS}, and even")
        return Conv2D(layer.in_channels // layer.groups, layer.out_channels // COLUMNS, layer.kernel, layer.stride,
                      layer.pad, 1, layer.rounding)
    if isinstance(layer, Dense):
        if layer.out_features % COLUMNS and not whole:
            raise ValueError(f"{name}: out_features (={layer.out_features}) must be even")
        return Dense(layer.in_features, layer.out_features // (1 if whole else COLUMNS))
    if isinstance(layer, LRN):
        if layer.groups != COLUMNS:
            raise ValueError(f"{name}: groups (={layer.groups}) must be {COLUMNS}: its windows must not reach across")
        return LRN(layer.size, layer.alpha, layer.beta, layer.k)
    if isinstance(layer, LRNWithin):
        return LRNWithin(layer.size, layer.alpha, layer.beta, layer.k, per_pixel=False)
    if isinstance(layer, MaxPool2D):
        return MaxPool2D(layer.size, layer.stride, layer.pad, layer.rounding)
    if isinstance(layer, Dropout):
        return layer.again()
    if isinstance(layer, ReLU):
        return ReLU()
    raise ValueError(f"{name}: a {type(layer).__name__} cannot be parted into columns")
