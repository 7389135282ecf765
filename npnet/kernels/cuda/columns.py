"""A net's columns on GPUs of their own. AlexNet §3.2."""
import functools
import sys
from collections.abc import Callable
from typing import Any

from .launch import on


@functools.cache
def on_device(number: int) -> "OnDevice":
    """One for each device."""
    return OnDevice(number)


class OnDevice:
    """The cuda backend, on one device, whichever the calling thread uses otherwise."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.__name__ = "npnet.kernels.cuda"

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """A function of the backend. Made once, kept."""
        if name.startswith("_"):
            raise AttributeError(name)
        function = getattr(sys.modules["npnet.kernels.cuda"], name)

        @functools.wraps(function)
        def there(*arguments: Any, **named: Any) -> Any:
            with on(self.number):
                return function(*arguments, **named)

        setattr(self, name, there)
        return there
