"""A backend of a device for tests that hold NumPy's arrays in their hands.

What a kernel is given is uploaded, and downloaded when it has run: slow, but every test of a layer, a net or a run goes
over the device unchanged.
"""
import inspect

import numpy as np

from npnet.kernels import numpy as definition
from npnet.kernels.contract import Backend

ON_HOST = ("empty", "view", "to_host", "from_host", "upload", "channels", "on_one_thread", "room", "finish", "column",
           "receive")
KERNELS = [name for name, _ in inspect.getmembers(Backend, inspect.isfunction)
           if not name.startswith("_") and name not in ON_HOST]


class OnDevice:
    def __init__(self, device):
        self.device = device
        self.__name__ = device.__name__
        for name in ON_HOST:
            setattr(self, name, getattr(definition, name))
        for name in KERNELS:
            setattr(self, name, self._wrapped(getattr(device, name)))

    def _wrapped(self, kernel):
        def call(*args, **kwargs):
            uploaded = {}  # by place in memory: two names of one array are one array there, too

            def send(x):
                if isinstance(x, list | tuple):
                    return [send(part) for part in x]
                if not isinstance(x, np.ndarray):
                    return x
                key = (x.__array_interface__["data"][0], x.shape, x.strides, x.dtype)
                if key not in uploaded:
                    array = self.device.empty(x.shape, x.dtype)
                    self.device.from_host(x, array)
                    uploaded[key] = x, array
                return uploaded[key][1]

            kernel(*(send(x) for x in args), **{key: send(x) for key, x in kwargs.items()})
            for host, array in uploaded.values():
                if host.flags.writeable:
                    host[...] = self.device.to_host(array)

        return call
