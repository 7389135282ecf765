"""A backend whose arrays cannot be looked into: what runs on it touches no element outside a kernel.

A `Handle` has a shape, a dtype and `reshape`, all that `npnet.kernels.contract.Array` promises. Everything else raises:
arithmetic, indexing, len, iteration, comparison, conversion. The kernels are those of the numpy backend.
"""
import inspect

import numpy as np

from npnet.kernels import numpy as definition
from npnet.kernels.contract import Backend

FUNCTIONS = [name for name, _ in inspect.getmembers(Backend, inspect.isfunction) if not name.startswith("_")]
PUBLIC = {"shape", "dtype", "reshape", "__class__"}


class Handle:
    """Stands for an array that lives elsewhere."""

    __slots__ = ("_array",)
    __array_ufunc__ = None  # NumPy scalars and arrays on the left of an operator raise TypeError too

    def __init__(self, array):
        object.__setattr__(self, "_array", array)

    def __getattribute__(self, name):
        if name not in PUBLIC:
            raise TypeError(f"{name}: not outside a kernel; an array has a shape, a dtype and reshape")
        return object.__getattribute__(self, name)

    @property
    def shape(self):
        return _array(self).shape

    @property
    def dtype(self):
        return _array(self).dtype

    def reshape(self, shape, /):
        return Handle(np.reshape(_array(self), shape, copy=False))

    def _refuse(self, *args, **kwargs):
        raise TypeError("an element was asked for outside a kernel")

    # without these Python would have an answer of its own, or NumPy make an array of objects
    __setattr__ = __bool__ = __array__ = __eq__ = __ne__ = __float__ = __int__ = __index__ = _refuse
    __hash__ = None


def _array(handle):
    return object.__getattribute__(handle, "_array")


class Opaque:
    """The numpy backend on handles. `copied` holds the shapes of what was copied back to the host."""

    def __init__(self):
        self.copied = []
        for name in FUNCTIONS:
            setattr(self, name, self._wrapped(name, getattr(definition, name)))

    def _wrapped(self, name, kernel):
        def unwrap(x):
            if isinstance(x, np.ndarray) and name != "from_host":
                raise TypeError(f"{name}: a NumPy array was passed where the backend's own must be")
            if isinstance(x, list | tuple) and any(isinstance(part, Handle) for part in x):
                return [unwrap(part) for part in x]
            return _array(x) if isinstance(x, Handle) else x

        def call(*args, **kwargs):
            result = kernel(*(unwrap(x) for x in args), **{key: unwrap(x) for key, x in kwargs.items()})
            if name == "to_host":
                self.copied.append(result.shape)
                return result
            return Handle(result) if isinstance(result, np.ndarray) else result

        return call
