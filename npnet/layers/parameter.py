"""Parameters, how they begin, and how fast they learn. AlexNet §5."""
import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from npnet import counter, kernels
from npnet.kernels import Array, Shape
from npnet.kernels.calls import before_what_waits

BESIDE = (".velocity", ".average", ".rounding")
"""What the names of a checkpoint's other arrays end with."""


@dataclass(frozen=True, kw_only=True)
class Initialiser:
    """How a parameter begins, and by what its learning rate and its weight decay are multiplied.

    rate : factor on the optimiser's learning rate. cuda-convnet and Caffe give biases 2; the paper has one for all.
    decay : factor on the optimiser's weight decay. The programs give biases 0; the paper is silent.
    """

    rate: float = 1.0
    decay: float = 1.0

    def draw(self, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
        """Initial values, float32, of `shape`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Gaussian(Initialiser):
    """Normal with mean 0 and standard deviation `std` (AlexNet §5: 0.01; it is not the variance)."""

    std: float = 0.01

    def __post_init__(self) -> None:
        if self.std < 0:
            raise ValueError(f"std (={self.std}) must not be negative")

    def draw(self, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
        x = rng.standard_normal(shape, np.float32)
        x *= np.float32(self.std)
        return x


@dataclass(frozen=True)
class Uniform(Initialiser):
    """Uniform in ±`limit`. PyTorch begins so, weights and biases, with 1 / √fan-in."""

    limit: float = 0.01

    def __post_init__(self) -> None:
        if self.limit < 0:
            raise ValueError(f"limit (={self.limit}) must not be negative")

    def draw(self, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
        x = rng.random(shape, np.float32)
        x *= 2
        x -= 1
        x *= np.float32(self.limit)
        return x


@dataclass(frozen=True)
class Xavier(Initialiser):
    """Uniform in ±√(3 / fan-in), the variance then being 1 / fan-in: Glorot and Bengio 2010, as Caffe does it.

    Fan-in is how many numbers an output is the sum of: the size of w[0].
    """

    def draw(self, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
        return Uniform(math.sqrt(3 / math.prod(shape[1:]))).draw(shape, rng)


@dataclass(frozen=True)
class Constant(Initialiser):
    """The same value everywhere (AlexNet §5: 1 for some biases, so that their ReLUs begin with positive inputs)."""

    value: float = 0.0

    def draw(self, shape: Shape, rng: np.random.Generator) -> NDArray[np.float32]:
        return np.full(shape, self.value, np.float32)


class Parameter:
    """An array that is learnt: ``value``, the gradient of the loss by it in ``grad``, and a ``name``.

    Memory is taken, and initial values drawn, when `value` is first asked for, so that a net can be looked at (its
    shapes, its cost) without being filled. The initial values are a function of the seed given to `initialise` and the
    parameter's place in the net alone; of seed 0 if it was never called.

    Attributes
    ----------
    place : int
        Which of a net's parameters it is.
    rate, decay : float
        Factors on the optimiser's learning rate and weight decay; from the initialiser, free to be changed.
    """

    latest_change: ClassVar[object] = object()
    """Another object as soon as an attribute of any parameter has changed: which arrays, which factors, which name. So
    who has asked all of them sees at a glance whether to ask again."""

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        Parameter.latest_change = object()

    def __init__(self, name: str, shape: Shape, initialiser: Initialiser) -> None:
        if f".{name}".endswith(BESIDE):
            raise ValueError(f"parameter {name!r} must have another name: in a checkpoint, what ends with "
                             f"{' or '.join(BESIDE)} belongs to a parameter")
        self.name, self.shape, self.initialiser = name, shape, initialiser
        self.rate, self.decay = initialiser.rate, initialiser.decay
        self.kernels = kernels.active()
        self.dtype: np.dtype[Any] = np.dtype(np.float32)
        self.place = 0
        self._key: tuple[int, ...] | None = None
        self._value: Array | None = None
        self._grad: Array | None = None

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def value(self) -> Array:
        if self._value is None:
            key = self._key or (0, self.place)
            self._value = self._new(self.initialiser.draw(self.shape, counter.generator(*key)))
        return self._value

    @property
    def grad(self) -> Array:
        if self._grad is None:
            self._grad = self._new(None)
        return self._grad

    @before_what_waits  # so the kernels of a net's first pass are known before the first of them is compiled
    def _new(self, host: NDArray[Any] | None) -> Array:
        """A new array with these numbers, or zeros."""
        x = self.kernels.empty(self.shape, self.dtype)
        if host is None:
            self.kernels.fill(x, 0.0)
        else:
            self.kernels.from_host(host, x)
        return x

    def initialise(self, *key: int) -> None:
        """Begin anew from the values that `key` stands for."""
        self._key, self._value = key, None

    def exchange(self, value: Array) -> Array:
        """`value` becomes this array. Returns the one before."""
        if value.shape != self.shape or value.dtype != self.dtype:
            raise ValueError(f"{self.name}: value of shape (={value.shape}) and dtype (={value.dtype}) must have "
                             f"{self.shape} and {self.dtype}")
        before, self._value = self.value, value
        return before

    def assign(self, host: NDArray[Any]) -> None:
        """`value` ← a NumPy array of the same shape."""
        if host.shape != self.shape:
            raise ValueError(f"{self.name}: value of shape (={host.shape}) must have the shape {self.shape}")
        if self._value is None:
            self._value = self._new(host)  # no initial values: AlexNet's are a second's work
        else:
            self.kernels.from_host(host, self._value)

    def numpy(self) -> NDArray[Any]:
        """A NumPy copy of `value`."""
        return self.kernels.to_host(self.value)

    def astype(self, dtype: Any) -> None:
        """Hold value and gradient in float32 or float64 from now on; the value is kept, rounded if it must be."""
        if np.dtype(dtype) == self.dtype:
            return
        host = None if self._value is None else self.numpy()
        self.dtype = np.dtype(dtype)
        self._value = self._grad = None
        if host is not None:
            self._value = self._new(host)

    def __repr__(self) -> str:
        return f"Parameter({self.name!r}, {self.shape})"
