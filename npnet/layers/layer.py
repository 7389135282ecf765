"""What every layer is."""
import math
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet import kernels
from npnet.kernels import Array, Shape
from npnet.kernels.calls import Calls

from .parameter import Initialiser, Parameter


@dataclass(frozen=True)
class Cost:
    """What a layer or a net costs: parameters held, and multiply-adds computed forward for one image."""

    parameters: int = 0
    macs: int = 0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.parameters + other.parameters, self.macs + other.macs)


class Layer:
    """A function with a gradient: ``forward(x)`` and ``backward(dy) -> dx``. Each is written by hand.

    A layer owns its parameters and the arrays it writes, and touches no element of them: that is the kernels' part, of
    the backend that was chosen when the layer was made. An array that a layer returns is its own, made at the first
    batch and used again: it holds until the layer's next call.

    A layer of your own derives from this, and defines `forward`, `backward`, `output_shape`, and, if it has parameters,
    `backward_parameters`. ``self.parameter(...)`` makes one, ``self.array(...)`` gives it an array to write into.
    """

    place = 0
    """Which of a net's layers it is, from its containers: part of what its randomness is a function of."""

    keeps_output = True
    """Does `backward` read what `forward` returned?"""

    over_input: "Layer | None" = None
    """The layer whose output, as x, this one may write its result over. A container says so, where nobody reads it any
    more."""

    over_gradient = False
    """May it write dx over dy? Likewise."""

    within: "weakref.ref[Layer] | None" = None
    """The container it is in."""

    through_relu = False
    """Does `backward` return the gradient of what the ReLU before this layer was given, and not of what it made? Then
    the ReLU has nothing left to do. A container has `forward` say so, of layers that can."""

    def __init__(self) -> None:
        self.kernels = kernels.active()
        self._call = Calls()  # a layer of your own may as well call kernels itself
        self._returned: Array | None = None
        self._fitting: Any = None  # what `check_input` has found to fit: a step's Python is read from far memory
        self._parameters: list[Parameter] = []
        self._storage: dict[str, Array] = {}
        self._views: dict[str, Array] = {}
        self._shaped: dict[str, tuple[Array, Array]] = {}

    def forward(self, x: Array, train: bool = True) -> Array:
        """x : (N, *input_shape) → (N, *output_shape). Of results, `train` changes dropout's alone.

        Keeps what `backward` needs; out of training, perhaps only what that can be made of again.
        """
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        """∂L/∂y → ∂L/∂x, for the x of the last `forward`; writes (does not add to) the ``grad`` of every parameter."""
        raise NotImplementedError

    def backward_parameters(self, dy: Array) -> None:
        """`backward` without ∂L/∂x: for the first layer of a net, whose input nobody asks the gradient of."""
        self.backward(dy)

    def output_shape(self, input_shape: Shape) -> Shape:
        """Shape of one image after the layer from its shape before, both without N: (C, H, W) or (features,)."""
        raise NotImplementedError

    def cost(self, input_shape: Shape) -> Cost:
        """Parameters and multiply-adds for one image of `input_shape` (without N)."""
        self.output_shape(input_shape)
        return Cost(sum(p.size for p in self.parameters()))

    def parameters(self) -> list[Parameter]:
        """All parameters, in the order of the layers."""
        return self._parameters

    def children(self) -> list["Layer"]:
        """The layers this one is made of."""
        return []

    def walk(self) -> Iterator["Layer"]:
        """This layer and all below it, in order."""
        yield self
        for child in self.children():
            yield from child.walk()

    def initialise(self, seed: int) -> None:
        """Begin anew: parameter i gets the values that (seed, i) stands for, dropout i the masks of (seed, i)."""
        for i, p in enumerate(self.parameters()):
            p.initialise(seed, i)
        for i, layer in enumerate(self.walk()):
            layer.seed(seed, i)

    def seed(self, *key: int) -> None:
        """Where the layer's own randomness begins, if it has any."""

    def set_step(self, step: int) -> None:
        """Randomness of the coming forward pass is that of training step `step`."""
        for child in self.children():
            child.set_step(step)

    def astype(self, dtype: Any) -> None:
        """Compute in float32 or float64 from now on. Values are kept."""
        for p in self.parameters():
            p.astype(dtype)

    def parameter(self, name: str, shape: Shape, initialiser: Initialiser) -> Parameter:
        """A new parameter of this layer."""
        p = Parameter(name, shape, initialiser)
        self._parameters.append(p)
        return p

    def array(self, name: str, shape: Shape, dtype: Any) -> Array:
        """An array to write into: the same memory under the same name at every call, made anew only to grow.

        So a smaller last batch, or an evaluation between two training steps, costs no memory.
        """
        view = self._views.get(name)
        if view is not None and view.shape == shape and view.dtype == dtype:
            return view
        size, storage = math.prod(shape), self._storage.get(name)
        if storage is None or storage.dtype != dtype or storage.shape[0] < size:
            storage = self._storage[name] = self.kernels.empty((size,), np.dtype(dtype))
        self._views[name] = view = self.kernels.view(storage, shape)
        return view

    def output(self, shape: Shape, dtype: Any, y: Array | None = None) -> Array:
        """The array that `forward` returns, and that `check_gradient` remembers: `y`, or one of the layer's own.

        If it is another one than last time, as for a batch of another size, no array of the last batch is kept.
        ValueError, if it is neither float32 nor float64.
        """
        y = self.array("y", shape, dtype) if y is None else y
        if y is not self._returned:
            check_dtype(type(self).__name__, "x", dtype)
            self._call.forget()
            self._shaped.clear()
        self._returned = y
        return y

    def output_of(self, x: Array, y: Array | None = None) -> Array:
        """`output` of the shape that `output_shape` says."""
        return self.output((x.shape[0], *self.output_shape(x.shape[1:])), x.dtype, y)

    def output_over(self, x: Array) -> Array:
        """`output` of the shape of x: x itself, if the layer may write over it. Not what a user brings."""
        free = self.over_input is not None and x is self.over_input._returned
        return self.output(x.shape, x.dtype, x if free else None)

    def gradient_over(self, dy: Array) -> Array:
        """An array for dx of the shape of dy: dy itself, if the layer may write over it."""
        return dy if self.over_gradient else self.like("dx", dy)

    def check_gradient(self, dy: Array) -> None:
        """Raise ValueError unless `dy` has the shape and dtype of what the last `forward` returned."""
        if self._returned is None:
            raise needs_forward(self)
        if dy.shape != self._returned.shape or dy.dtype != self._returned.dtype:
            raise ValueError(f"{type(self).__name__}: dy of shape (={dy.shape}) and dtype (={dy.dtype}) must be like "
                             f"the last output, {self._returned.shape} and {self._returned.dtype}")

    def like(self, name: str, x: Array) -> Array:
        """`array` with the shape and dtype of `x`."""
        return self.array(name, x.shape, x.dtype)

    def shaped(self, name: str, x: Array, shape: Shape) -> Array:
        """The elements of `x` under another shape: the same object as at the last call, if `x` is."""
        if x.shape == shape:
            return x
        before, y = self._shaped.get(name, (None, None))
        if y is None or before is not x or y.shape != shape:
            y = x.reshape(shape)
            if is_row_major(x):  # else it is a copy
                self._shaped[name] = x, y
        return y

    def upload(self, name: str, host: NDArray[Any]) -> Array:
        """`array` with the contents of `host`, an array of NumPy's."""
        x = self.array(name, host.shape, host.dtype)
        self.kernels.upload(host, x)
        return x

    def __call__(self, x: Array, train: bool = True) -> Array:
        return self.forward(x, train)


def needs_forward(layer: Layer) -> ValueError:
    """For `backward`, where nothing has gone forward."""
    return ValueError(f"{type(layer).__name__}: backward needs a forward pass before it")


def check_input(layer: Layer, x: Array, expected: Shape, name: str) -> None:
    """Raise ValueError unless `x` is (N, *expected), −1 standing for any length, row-major, and has the dtype of the
    weights."""
    row_major = is_row_major(x)
    found = x.shape, x.dtype, layer._parameters[0].dtype if layer._parameters else None
    if row_major and found == layer._fitting:
        return
    fits = len(x.shape) == len(expected) + 1 and x.shape[0] >= 1
    if not fits or any(e not in (-1, s) for s, e in zip(x.shape[1:], expected, strict=True)):
        wanted = ", ".join(("N", *("any" if e == -1 else str(e) for e in expected)))
        raise ValueError(f"{name}: x of shape (={x.shape}) must be ({wanted}), N at least 1")
    check_row_major(name, "x", x)
    if layer._parameters and x.dtype != layer._parameters[0].dtype:
        raise ValueError(
            f"{name}: x of dtype (={x.dtype}) must be {layer._parameters[0].dtype}, as the weights; "
            f"layer.astype(...) changes theirs"
        )
    layer._fitting = found


def check_dtype(name: str, array: str, dtype: Any) -> None:
    """Raise ValueError unless kernels can read it. (Bytes in the other order they would read as other numbers.)"""
    if dtype not in (np.float32, np.float64):
        raise ValueError(f"{name}: {array} of dtype (={dtype}) must be float32 or float64, in this machine's order of "
                         f"bytes: {array}.astype(np.float32) is")


def check_row_major(name: str, array: str, x: Array) -> None:
    """Raise ValueError unless the numbers of `x` lie in memory in the order of its indices."""
    if isinstance(x, np.ndarray) and not is_row_major(x):
        raise ValueError(f"{name}: {array} of shape (={x.shape}) and strides (={x.strides}) must be row-major: "
                         f"np.ascontiguousarray({array}) makes it so")


def is_row_major(x: Array) -> bool:
    return not isinstance(x, np.ndarray) or bool(x.flags.c_contiguous)


def sliding_size(length: int, size: int, stride: int, pad: int, rounding: str) -> int:
    """How many windows of `size` fit along `length` pixels, `stride` apart, with `pad` more on both sides.

    ``rounding="floor"`` counts whole windows only; ``"ceil"`` lets the last one reach past the edge, as the 2012
    program did (224 pixels, size 11, stride 4: 54 and 55), unless it would start beyond the image.
    """
    span = length + 2 * pad - size
    if span < 0 and (rounding == "floor" or span <= -size):
        raise ValueError(f"size (={size}) must be at most length + 2·pad (={length + 2 * pad})")
    count = 1 + (span // stride if rounding == "floor" else max(0, -(-span // stride)))
    if (count - 1) * stride >= length + pad:
        count -= 1
    return count


def check_window(size: int, stride: int, pad: int, rounding: str, called: str = "size") -> None:
    """Raise ValueError unless windows of `size`, `stride` apart, can be laid over an image padded by `pad`.

    called : what the user calls the size.
    """
    for name, value, least in ((called, size, 1), ("stride", stride, 1), ("pad", pad, None)):
        check_whole(name, value, least)
    if not 0 <= pad < size:
        raise ValueError(f"pad (={pad}) must be at least 0 and less than the {called} (={size})")
    if rounding not in ("floor", "ceil"):
        raise ValueError(f"rounding (={rounding!r}) must be 'floor' or 'ceil'")


def check_whole(name: str, value: int, least: int | None = None) -> None:
    """Raise ValueError unless it is a whole number, and not less than that."""
    if not isinstance(value, int | np.integer):
        raise ValueError(f"{name} (={value!r}) must be a whole number")
    if least is not None and value < least:
        raise ValueError(f"{name} (={value}) must be at least {least}")
