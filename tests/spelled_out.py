"""For tests of what is spelled out in LLVM's instructions beside a plain loop."""
import inspect
from functools import cache

import numba
import numpy as np


@cache
def compiled(function):
    """Called in compiled code, it is what is spelled out. (Numba wants the arguments by name.)"""
    takes = inspect.signature(function).parameters
    given = ", ".join(name if p.default is p.empty else f"{name}={p.default!r}" for name, p in takes.items())
    return numba.njit(eval(f"lambda {given}: function({', '.join(takes)})", {"function": function}))


def numbers(count, dtype, seed=0):
    """Many are equal, some are not finite."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, count).astype(dtype)
    x[rng.integers(0, count, count // 8)] = np.nan
    x[rng.integers(0, count, count // 3)] = -np.inf
    return x
