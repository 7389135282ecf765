"""Time, multiply-adds and bytes of every layer of a net, while it trains."""
import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

from npnet.kernels import Shape
from npnet.layers import (
    LRN,
    AbsTanh,
    AvgPool2D,
    Concat,
    Dropout,
    Layer,
    LRNWithin,
    MaxPool2D,
    ReLU,
    Sigmoid,
    Tanh,
)

# How many float32 arrays like its input and like its output a layer reads or writes at least, forward and backward
ARRAYS: dict[type[Layer], tuple[tuple[float, float], tuple[float, float]]] = {
    ReLU: ((1, 1), (1, 2)),  # dy, y; dx
    Tanh: ((1, 1), (1, 2)),
    Sigmoid: ((1, 1), (1, 2)),
    AbsTanh: ((1, 1), (2, 2)),
    Dropout: ((1, 1), (1, 1)),  # the mask is drawn, not read
    LRN: ((1, 2), (3, 2)),  # a; d, b.  db, a, b, d; da
    LRNWithin: ((1, 2), (3, 2)),
    MaxPool2D: ((1, 1.25), (1, 1.25)),  # and a byte for the place of each window's largest
    AvgPool2D: ((1, 1), (1, 1)),
    Concat: ((0, 2), (0, 2)),  # and for each branch the gradient of the input
}


def leaves(net: Layer, name: str = "") -> Iterator[tuple[str, Layer]]:
    """The layers that compute something themselves, by their full names."""
    for child_name, child in zip(getattr(net, "names", ()), net.children(), strict=True):
        yield from leaves(child, f"{name}.{child_name}" if name else child_name)
    if not net.children() or isinstance(net, Concat):
        yield name, net


def kinds(net: Layer) -> dict[str, str]:
    """What each of those is. What a Concat computes itself are the 1×1 convolutions that its branches begin with, if
    they do."""
    return {name: "Conv2D" if isinstance(layer, Concat) and layer.together.layers else type(layer).__name__
            for name, layer in leaves(net)}


class Stopwatch:
    """Measures every layer of `net` from now on, by standing before its methods."""

    def __init__(self, net: Layer) -> None:
        self.seconds: dict[tuple[str, str], float] = defaultdict(float)
        self.shapes: dict[str, tuple[Shape, Shape]] = {}
        self.done: set[tuple[str, str]] = set()  # ReLUs whose work is done by the layer before them, or behind
        self._inside: list[float] = []
        for name, layer in leaves(net):
            layer.forward = self._timed(name, "forward", layer.forward, layer)  # type: ignore[method-assign]
            for method in ("backward", "backward_parameters"):
                setattr(layer, method, self._timed(name, "backward", getattr(layer, method), layer))

    def _timed(self, name: str, way: str, method: Callable[..., Any], layer: Layer) -> Callable[..., Any]:
        def call(x: Any, *rest: Any) -> Any:
            self._inside.append(0.0)
            layer.kernels.finish()
            began = time.perf_counter()
            y = method(x, *rest)
            layer.kernels.finish()
            taken = time.perf_counter() - began
            self.seconds[name, way] += taken - self._inside.pop()  # without that of the layers in it
            if self._inside:
                self._inside[-1] += taken
            if way == "forward":
                self.shapes[name] = tuple(x.shape), tuple(y.shape)
            if isinstance(layer, ReLU) and rest[way == "forward" :] == (True,):
                self.done.add((name, way))
            return y

        return call

    def take(self) -> dict[tuple[str, str], float]:
        """Seconds since the last time, by (layer, way)."""
        taken, self.seconds = dict(self.seconds), defaultdict(float)
        return taken


def work(net: Layer, watch: Stopwatch, itemsize: int = 4) -> dict[str, dict[str, Any]]:
    """For each layer: multiply-adds of a step (macs) forward and backward, or else bytes.

    Backward costs twice as many multiply-adds as forward, and once as many in the first layer, which needs no gradient
    of its input.
    """
    table: dict[str, dict[str, Any]] = {}
    for name, layer in leaves(net):
        if name not in watch.shapes:
            continue
        x, y = watch.shapes[name]
        first = not any("macs" in row for row in table.values())
        own = layer.together.layers if isinstance(layer, Concat) else [layer]
        macs = sum(part.cost(x[1:]).macs for part in own) * x[0]
        if macs:
            table[name] = {"macs": (macs, macs if first else 2 * macs)}
        elif type(layer) in ARRAYS:
            more = len(layer.children()) + 1 if isinstance(layer, Concat) else 0  # branches, and their sum
            forward, backward = ARRAYS[type(layer)]
            size = [math.prod(shape) * itemsize for shape in (x, y)]
            drop = layer if isinstance(layer, Dropout) else None
            once = (name, "forward") not in watch.done and not (drop and drop.left)
            back = (name, "backward") not in watch.done and not (drop and (drop.left_back or drop.left_to_relu))
            table[name] = {"bytes": (once * (forward[0] * size[0] + forward[1] * size[1]),
                                     back * ((backward[0] + more) * size[0] + backward[1] * size[1]))}
    return table
