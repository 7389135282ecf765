"""The nonlinearities of AlexNet §3.1 and their derivatives, written in terms of the output where that is enough."""
import math
from typing import Any

from numba import cuda

from .launch import compiled, each, flat, place

Device = Any


def relu_forward(x: Device, y: Device) -> None:
    each(_relu, x.size, flat(x), flat(y))


def relu_backward(dy: Device, y: Device, dx: Device) -> None:
    if dy.is_c_contiguous() and y.is_c_contiguous():
        each(_relu_back, dx.size, flat(dy), flat(y), flat(dx))
    else:
        each(_relu_back_maps, dx.size, dy, y, dx)


def tanh_forward(x: Device, y: Device) -> None:
    each(_tanh, x.size, flat(x), flat(y))


def tanh_backward(dy: Device, y: Device, dx: Device) -> None:
    each(_tanh_back, dx.size, flat(dy), flat(y), flat(dx))


def sigmoid_forward(x: Device, y: Device) -> None:
    each(_sigmoid, x.size, flat(x), flat(y))


def sigmoid_backward(dy: Device, y: Device, dx: Device) -> None:
    each(_sigmoid_back, dx.size, flat(dy), flat(y), flat(dx))


def abs_tanh_forward(x: Device, y: Device) -> None:
    each(_abs_tanh, x.size, flat(x), flat(y))


def abs_tanh_backward(dy: Device, x: Device, y: Device, dx: Device) -> None:
    each(_abs_tanh_back, dx.size, flat(dy), flat(x), flat(y), flat(dx))


def _relu_loop(x: Any, y: Any) -> None:
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[e] = x[e] if not x[e] < 0 else x.dtype.type(0)  # NaN stays


def _relu_back_loop(dy: Any, y: Any, dx: Any) -> None:
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        dx[e] = dy[e] if y[e] > 0 else dx.dtype.type(0)


def _relu_back_maps_loop(dy: Any, y: Any, dx: Any) -> None:
    """Of which dy and y may be some channels of larger arrays."""
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        n, c, i, j = place(e, dx.shape)
        dx[n, c, i, j] = dy[n, c, i, j] if y[n, c, i, j] > 0 else dx.dtype.type(0)


def _tanh_loop(x: Any, y: Any) -> None:
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[e] = math.tanh(x[e])


def _tanh_back_loop(dy: Any, y: Any, dx: Any) -> None:
    one = dx.dtype.type(1)
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        dx[e] = dy[e] * (one - y[e] * y[e])


def _sigmoid_loop(x: Any, y: Any) -> None:
    half = x.dtype.type(0.5)
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[e] = half + half * x.dtype.type(math.tanh(half * x[e]))  # overflows nowhere


def _sigmoid_back_loop(dy: Any, y: Any, dx: Any) -> None:
    one = dx.dtype.type(1)
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        dx[e] = dy[e] * y[e] * (one - y[e])


def _abs_tanh_loop(x: Any, y: Any) -> None:
    for e in range(cuda.grid(1), x.size, cuda.gridsize(1)):
        y[e] = abs(math.tanh(x[e]))


def _abs_tanh_back_loop(dy: Any, x: Any, y: Any, dx: Any) -> None:
    one, zero = dx.dtype.type(1), dx.dtype.type(0)
    for e in range(cuda.grid(1), dx.size, cuda.gridsize(1)):
        slope = one - y[e] * y[e]
        dx[e] = dy[e] * (slope if x[e] > 0 else -slope if x[e] < 0 else zero)


_relu, _relu_back, _relu_back_maps = compiled(_relu_loop), compiled(_relu_back_loop), compiled(_relu_back_maps_loop)
_tanh, _tanh_back, _sigmoid = compiled(_tanh_loop), compiled(_tanh_back_loop), compiled(_sigmoid_loop)
_sigmoid_back, _abs_tanh = compiled(_sigmoid_back_loop), compiled(_abs_tanh_loop)
_abs_tanh_back = compiled(_abs_tanh_back_loop)
