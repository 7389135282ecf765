"""Calls that come again at every step, worked out once."""
from collections.abc import Callable
from functools import partial, reduce
from operator import is_
from typing import Any, NamedTuple, ParamSpec

P = ParamSpec("P")


def worked_out(kernel: Callable[P, None], *arguments: P.args, **none: P.kwargs) -> Callable[[], None]:
    """kernel(*arguments), for later. If the kernel has `prepare`, all that can be done beforehand is done."""
    prepare = getattr(kernel, "prepare", None)
    return partial(kernel, *arguments, **none) if prepare is None else prepare(*arguments)


class Calls:
    """Of a layer, the last call of each kernel.

    A step calls the same kernels with the same arrays as the step before it. What a backend does in Python before its
    loops begin, plans and views, is little, but what it touches has been displaced from the caches since, and comes
    from far memory. A kernel that has `prepare` does that only when its arguments are other objects, or those in a
    tuple among them; that there are other numbers in its arrays is no reason.
    """

    def __init__(self) -> None:
        self._last: dict[Any, tuple[tuple[Any, ...], Callable[[], None]]] = {}

    def __call__(self, kernel: Callable[P, None], *arguments: P.args, **none: P.kwargs) -> None:
        """kernel(*arguments)"""
        before, call = self._last.get(kernel, ((), None))
        if call is None or not _same(before, arguments):
            prepare = getattr(kernel, "prepare", None)
            if prepare is None:
                kernel(*arguments, **none)
                return
            if call is not None:  # arrays of the last batch are not to be kept any longer
                self.forget()
            self._last[kernel] = arguments, (call := prepare(*arguments))
        call()

    def in_turn(self, *calls: tuple[Any, ...]) -> None:
        """kernel(*arguments) for each (kernel, *arguments), one after the other: as one call, if all have `prepare`."""
        if len(calls) == 1:
            self(*calls[0])
            return
        together: Any = _InTurn(tuple([kernel for kernel, *_ in calls]))
        self(together, *[call[1:] for call in calls])

    def forget(self) -> None:
        """Nothing is kept."""
        self._last.clear()


class _InTurn(NamedTuple):
    """Kernels as one, which gets a tuple of arguments for each."""

    kernels: tuple[Any, ...]

    def __call__(self, *arguments: tuple[Any, ...]) -> None:
        for kernel, some in zip(self.kernels, arguments, strict=True):
            kernel(*some)

    @property
    def prepare(self) -> Callable[..., Callable[[], None]] | None:
        return self._prepared if all(hasattr(kernel, "prepare") for kernel in self.kernels) else None

    def _prepared(self, *arguments: tuple[Any, ...]) -> Any:
        calls = [kernel.prepare(*some) for kernel, some in zip(self.kernels, arguments, strict=True)]
        return reduce(lambda one, other: one.then(other), calls)


def _same(some: tuple[Any, ...], others: tuple[Any, ...]) -> bool:
    """Are these the same objects, those in tuples among them?"""
    if len(some) != len(others):
        return False
    return all(map(is_, some, others)) or all(
        a is b or (type(a) is type(b) is tuple and _same(a, b)) for a, b in zip(some, others, strict=True))
