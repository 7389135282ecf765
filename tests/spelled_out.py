"""For tests of what is spelled out in LLVM's instructions beside a plain loop."""
import inspect

import numba
import numpy as np


def compiled(function):
    """Called in compiled code, it is what is spelled out. (Numba wants the arguments by name.)"""
    names = ", ".join(inspect.signature(function).parameters)
    return numba.njit(eval(f"lambda {names}: function({names})", {"function": function}))


def numbers(count, dtype, seed=0):
    """Many are equal, some are not finite."""
    rng = np.random.default_rng(seed)
    x = rng.integers(-3, 4, count).astype(dtype)
    x[rng.integers(0, count, count // 8)] = np.nan
    x[rng.integers(0, count, count // 3)] = -np.inf
    return x
