"""Every kernel of the cuda backend through Numba's compiler, as far as that goes without CUDA and without a GPU: types,
and LLVM's instructions. As a program, for the simulator and the compiler do not go together.

``python cuda_types.py`` calls every kernel with arrays that have a type and no memory, and prints as JSON how many were
compiled, and what is wrong. The simulator takes any Python; a GPU does not.
"""
import gc
import importlib
import inspect
import itertools
import json
import math
import re
import sys

import numba.cuda.compiler
import numba.cuda.dispatcher
import numpy as np
import test_backends as contract
from numba import int64, types
from numba.np.numpy_support import from_dtype

import npnet.kernels.cuda as backend


class Device:
    compute_capability = (8, 0)


class Typed:
    """An array's shape, type and layout."""

    def __init__(self, shape, dtype, layout="C"):
        self.shape, self.dtype, self.layout = tuple(shape), np.dtype(dtype), layout
        self.ndim, self.size = len(self.shape), math.prod(self.shape)

    def reshape(self, *shape):
        return Typed(shape, self.dtype)

    def is_c_contiguous(self):
        return self.layout == "C"


DOUBLE = re.compile(r"= f(add|sub|mul|div|rem|neg) [^\n]*double|@__nv_\w+\(double")
"""Arithmetic in float64. (Comparisons with 0 are written so, and become others when they are optimised.)"""

PRODUCTS = ("dense_forward", "dense_backward_weight", "dense_backward_data", "conv2d_forward", "conv2d_backward_weight",
            "conv2d_backward_data")
done, problems, tiles = set(), [], set()


def compile_in_place_of_launching(kernel, blocks, threads, *arguments):
    name = f"{kernel.py_func.__module__.rpartition('.')[2]}.{kernel.py_func.__name__}"
    signature = tuple(type_of(a) for a in arguments)
    if (kernel, signature) in done:
        return
    done.add((kernel, signature))
    narrow = not any("float64" in str(t) for t in signature)
    try:
        made = numba.cuda.compiler.compile_cuda(kernel.py_func, types.void, signature, cc=Device.compute_capability)
        if narrow and DOUBLE.search(made.library.get_llvm_str()):
            problems.append(f"{name}{signature}: computes in float64 what comes in float32")
    except Exception as error:
        problems.append(f"{name}{signature}: {type(error).__name__}: {' '.join(str(error).split())[:300]}")


def typed(value, layout):
    if isinstance(value, list):
        return [typed(part, layout) for part in value]
    if not isinstance(value, np.ndarray):
        return value
    return Typed(value.shape, value.dtype, layout if value.ndim == 4 else "C")


def type_of(argument):
    if isinstance(argument, Typed):
        return types.Array(from_dtype(argument.dtype), argument.ndim, argument.layout)
    if isinstance(argument, tuple):
        return types.UniTuple(int64, len(argument))
    if isinstance(argument, np.generic):
        return from_dtype(argument.dtype)
    return types.float64 if isinstance(argument, float) else int64


def main():
    gc.set_threshold(100_000)  # as in conftest.py
    numba.cuda.compiler.get_current_device = numba.cuda.dispatcher.get_current_device = lambda: Device
    modules = [m for _, m in inspect.getmembers(sys.modules["npnet.kernels.cuda"], inspect.ismodule)]
    modules += [importlib.import_module(f"npnet.kernels.cuda.{name}") for name in ("dropout", "launch", "memory")]
    instead = {"launch": compile_in_place_of_launching, "processors": lambda: 132, "empty": Typed,
               "to_host": lambda x: np.zeros(x.shape, x.dtype), "device": lambda: 0}
    for module in modules:
        for name, function in instead.items():
            if inspect.isfunction(getattr(module, name, None)):
                setattr(module, name, function)
    seen = {}
    for name, arguments in contract.CALLS:
        seen.setdefault(name, []).append(arguments)
    for name, calls in seen.items():
        for arguments, dtype in ((calls[0], np.float32), (calls[-1], np.float64)):
            given = contract.cast(arguments, dtype)
            call(name, given)
            if name in contract.HOLEY:
                call(name, given, contract.HOLEY[name])
    each_tile(seen)
    if numba.cuda.dispatcher.config.CUDA_LOW_OCCUPANCY_WARNINGS:
        problems.append("a small grid would be warned of at every launch")
    print(json.dumps({"compiled": len(done), "problems": problems, "tiles": sorted(tiles)}))


def call(name, arguments, holey=()):
    """holey : those that are some channels of a larger array."""
    getattr(backend, name)(**{key: typed(v, "A" if key in holey else "C") for key, v in arguments.items()})


def each_tile(seen):
    """Products in float32 with the tiles that these small calls do not ask for, in one part and in several: one of them
    with all, as no product knows in which tile it is; and each in parts, for what it does with a sum is elsewhere then.
    """
    product, kernels_of = backend.product, backend.product._kernels

    def noted(chosen, tile, in_parts):
        tiles.add((tile.rows, in_parts))
        return kernels_of(chosen, tile, in_parts)

    product._kernels = noted
    small, large = product.TILES
    for tile, parts in itertools.product((small, large), (1, 3)):
        product.TILES, product._parts = (tile, tile), lambda blocks, steps, parts=parts: parts
        for name in PRODUCTS if (tile, parts) == (large, 3) else PRODUCTS[:1]:
            call(name, contract.cast(seen[name][-1], np.float32))


if __name__ == "__main__":
    main()
