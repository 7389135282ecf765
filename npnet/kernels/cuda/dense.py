"""The fully connected layer: three matrix products. In y = x wᵀ the terms of a sum lie next to each other in both."""
from typing import Any

from .launch import each
from .product import Product, multiply
from .reductions import sums_of_columns

Device = Any


def dense_forward(x: Device, w: Device, b: Device, rectify: bool, y: Device) -> None:
    (images, inputs), outputs = x.shape, y.shape[1]
    multiply(_forward, x, w, b, y, (int(rectify),), (images, outputs, inputs))


def dense_backward_weight(dy: Device, x: Device, dw: Device, db: Device) -> None:
    (images, inputs), outputs = x.shape, dy.shape[1]
    multiply(_weight, dy, x, db, dw, (0,), (outputs, inputs, images))
    each(sums_of_columns, outputs, dy, db)


def dense_backward_data(dy: Device, w: Device, dx: Device) -> None:
    (images, outputs), inputs = dy.shape, dx.shape[1]
    multiply(_data, dy, w, w, dx, (0,), (images, inputs, outputs))


def _place(i: int, g: Any) -> Any:
    return i, 0, 0


def _first(a: Any, row: Any, term: Any, group: int, g: Any) -> Any:
    return a[row[0], term[0]]


def _first_turned(a: Any, row: Any, term: Any, group: int, g: Any) -> Any:
    return a[term[0], row[0]]


def _second(b: Any, term: Any, column: Any, group: int, g: Any) -> Any:
    return b[term[0], column[0]]


def _second_turned(b: Any, term: Any, column: Any, group: int, g: Any) -> Any:
    return b[column[0], term[0]]


def _put(c: Any, nothing: Any, row: Any, column: Any, value: Any, group: int, g: Any) -> None:
    c[row[0], column[0]] = value


def _put_with_bias(c: Any, bias: Any, row: Any, column: Any, value: Any, group: int, g: Any) -> None:
    value += bias[column[0]]
    if g[0] and value < 0:  # NaN stays
        value = c.dtype.type(0)
    c[row[0], column[0]] = value


_forward = Product(_place, _place, _place, _first, _second_turned, _put_with_bias, a_along=True, b_along=True)
_weight = Product(_place, _place, _place, _first_turned, _second, _put, a_along=False, b_along=False)
_data = Product(_place, _place, _place, _first, _second, _put, a_along=True, b_along=False)
