"""A layer as a function of arrays that can be nudged."""
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from npnet import counter
from npnet.kernels import numpy as plain

Floats = NDArray[Any]


class _Identity:
    """The net under a loss that is checked alone."""

    def forward(self, x: Any, train: bool) -> Any:
        return x

    def backward(self, dy: Any) -> Any:
        return dy


class Function:
    """A layer, with its loss if there is one, as a function of float64 arrays on the host: its input and parameters.

    Of a layer that returns a tuple (a net with auxiliary classifiers), y is all of its arrays in one row.
    """

    def __init__(
        self, layer: Any, x: ArrayLike, labels: ArrayLike | None, loss: Any, train: bool, seed: int
    ) -> None:
        if loss is not None and labels is None:
            raise ValueError("labels (=None) must be given with a loss")
        self.kernels = _kernels(layer)
        self.layer: Any = layer
        self.loss: Any = loss
        if labels is not None and loss is None:
            self.layer, self.loss = _Identity(), layer
        self.train, self.rng, self.overwritten = train, counter.generator(seed), set[str]()
        self.labels = None if labels is None else self.send(np.asarray(labels, np.int64))
        self.parameters: dict[str, Any] = {}
        for i, p in enumerate(_parameters(self.layer)):
            name = str(getattr(p, "name", f"parameter {i}"))
            self.parameters[name if name not in (*self.parameters, "x") else f"{name} ({i})"] = p
        self.host = {"x": np.array(x, np.float64)}
        self.host |= {name: self.kernels.to_host(p.value) for name, p in self.parameters.items()}
        self.y, self.value = self.forward()
        self.dy = away_from_zero(self.rng, self.y.shape)

    def send(self, host: Floats) -> Any:
        array = self.kernels.empty(host.shape, host.dtype)
        self.kernels.from_host(host, array)
        return array

    def fetch(self, y: Any) -> Floats:
        """An array, or several one after another, on the host."""
        if isinstance(y, tuple):
            return np.concatenate([self.kernels.to_host(array).ravel() for array in y])
        host: Floats = self.kernels.to_host(y)
        return host

    def forward(self) -> tuple[Floats, float]:
        """y, and the loss; 0 without one."""
        if hasattr(self.layer, "set_step"):
            self.layer.set_step(0)
        self.x = self.send(self.host["x"])
        y = self.layer.forward(self.x, self.train)
        if not all(hasattr(part, "shape") for part in (y if isinstance(y, tuple) else (y,))):
            raise ValueError(f"{type(self.layer).__name__}: forward returns {type(y).__name__}, and must return an "
                             f"array, or a tuple of arrays")
        host = self.fetch(y)
        self.shape = (y[0] if isinstance(y, tuple) else y).shape
        return host, 0.0 if self.loss is None else float(self.loss.forward(y, self.labels))

    def gradients(self, before: float, method: str = "backward") -> dict[str, Floats]:
        """∂L/∂x and those of the parameters by a pass back, the latter holding `before` when it begins."""
        for p in self.parameters.values():
            if p.grad is not None:
                self.kernels.from_host(np.full(p.grad.shape, before), p.grad)
        self.forward()
        self.watch("x", "forward", self.x, self.host["x"])
        left = self.fetch(self.x)  # by forward
        dy = self.send(self.dy) if self.loss is None else self.loss.backward()
        self.dy = self.fetch(dy)
        dx = getattr(self.layer, method)(dy)
        self.watch("dy", method, dy, self.dy)
        self.watch("x", method, self.x, left)
        arrays = {name: p.grad for name, p in self.parameters.items()} | ({"x": dx} if method == "backward" else {})
        return {name: np.full(self.host[name].shape, before) if a is None else self.kernels.to_host(a)
                for name, a in arrays.items()}

    def watch(self, name: str, method: str, array: Any, host: Floats) -> None:
        if not np.array_equal(self.fetch(array), host, equal_nan=True):
            self.overwritten.add(f"{name} is overwritten by {method}")

    def moved(self, name: str, u: Floats, h: float) -> tuple[Floats, float]:
        """`forward` with h·u added to one tensor."""
        here = self.host[name]
        self.put(name, here + h * u)
        result = self.forward()
        self.put(name, here)
        return result

    def put(self, name: str, host: Floats) -> None:
        self.host[name] = host
        if name in self.parameters:
            self.kernels.from_host(host, self.parameters[name].value)

    def slope(self, ahead: tuple[Floats, float], behind: tuple[Floats, float], h: float) -> float:
        """By the loss, or by Σ y·dy, in which what did not move cancels exactly."""
        change = ahead[1] - behind[1] if self.loss is not None else float(np.sum((ahead[0] - behind[0]) * self.dy))
        return change / (2 * h)


@contextmanager
def in_float64(layer: Any) -> Iterator[None]:
    """Parameters in float64 within; afterwards their dtypes and bits, and the steps of dropouts, as they were."""
    host, parameters = _kernels(layer), _parameters(layer)
    arrays = [(p, p.value, p.grad) for p in parameters]
    before = [(host.to_host(value), None if grad is None else host.to_host(grad)) for _, value, grad in arrays]
    parts = layer.walk() if hasattr(layer, "walk") else [layer]
    steps = [(part, part.step) for part in parts if hasattr(part, "step") and hasattr(part, "set_step")]
    try:
        if hasattr(layer, "astype"):
            layer.astype(np.float64)
        for p in parameters:
            if hasattr(p, "astype"):
                p.astype(np.float64)
            else:
                p.value = p.value.astype(np.float64, copy=False)
                p.grad = None if p.grad is None else p.grad.astype(np.float64, copy=False)
        yield
    finally:
        if hasattr(layer, "astype") and before:
            layer.astype(before[0][0].dtype)
        for (p, value, grad), (host_value, host_grad) in zip(arrays, before, strict=True):
            if hasattr(p, "astype"):
                p.astype(host_value.dtype)
            else:
                p.value, p.grad = value, grad
            host.from_host(host_value, p.value)
            if host_grad is not None:
                host.from_host(host_grad, p.grad)
        for part, step in steps:
            part.set_step(step)


def _parameters(layer: Any) -> list[Any]:
    """ValueError, if one holds no array."""
    parameters = list(layer.parameters()) if hasattr(layer, "parameters") else []
    for i, p in enumerate(parameters):
        if not hasattr(p.value, "shape"):
            raise ValueError(f"{getattr(p, 'name', f'parameter {i}')}: value (={p.value!r}) must be an array")
    return parameters


def _kernels(layer: Any) -> Any:
    """The layer's backend; numpy for a layer that has none."""
    own = getattr(layer, "kernels", None)
    return own if hasattr(own, "from_host") else plain


def away_from_zero(rng: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Random signs, magnitudes from 0.5 to 1.5."""
    signs: Floats = rng.choice([-1.0, 1.0], shape)
    return signs * rng.uniform(0.5, 1.5, shape)
