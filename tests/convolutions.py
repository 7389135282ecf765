"""Convolutions to hold a backend's against the definition's."""
import numpy as np


def operands(shape, dtype, kernel=3, seed=0, stride=1, more=0):
    """x, w, b, dy for (images, channels and outputs of a group, groups, height, width, padding).  more : rows and
    columns of dy, of windows that reach beyond the image."""
    n, c, o, groups, h, w, pad = shape
    rng = np.random.default_rng(seed)
    oh, ow = ((length + 2 * pad - kernel) // stride + 1 + more for length in (h, w))
    x, weight = rng.standard_normal((n, c * groups, h, w)), rng.standard_normal((o * groups, c, kernel, kernel))
    b, dy = rng.standard_normal(o * groups), rng.standard_normal((n, o * groups, oh, ow))
    return [a.astype(dtype) for a in (x, weight, b, dy)]


def all_three(backend, shape, x, weight, b, dy, stride=1):
    """What the three kernels write, by name."""
    groups, pad = shape[3], shape[6]
    y, dw, db, dx = (np.full_like(a, np.nan) for a in (dy, weight, b, x))
    backend.conv2d_forward(x, weight, b, stride, pad, groups, False, y)
    backend.conv2d_backward_weight(dy, x, stride, pad, groups, dw, db)
    backend.conv2d_backward_data(dy, weight, stride, pad, groups, dx)
    return {"y": y, "dw": dw, "db": db, "dx": dx}


def relative_error(got, expected):
    """The largest, of the largest number."""
    return np.abs(got - expected).max() / np.abs(expected).max()
