"""Calls that come again at every step: worked out once, and those of a pass through a net made one after another."""
import threading
from collections.abc import Callable
from functools import lru_cache, partial, reduce, wraps
from itertools import groupby
from operator import is_
from typing import Any, NamedTuple, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

OWN = "npnet.layers."  # modules of npnet's own layers


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
        if _pass.waiting is None:
            call()
        else:
            _pass.waiting.append(call)

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


class _Pass(threading.local):
    """Of each thread of Python's."""

    open = False  # is one under way?
    waiting: list[Any] | None = None  # calls that are made later; None: each is made at once


_pass = _Pass()


def one_pass(run: Callable[P, T]) -> Callable[P, T]:
    """Decorates a pass through layers: the calls of kernels in it that can be prepared are made when it ends, one after
    another. Whether those of a layer may wait so long is asked before each (`may_wait`).

    A kernel leaves nothing of Python's in the caches, and what Python does before the next one, 10 µs of work, then
    takes up to 200, while all other cores wait. What it does for all layers in one go takes half as long together, and
    no core waits between kernels.
    """
    @wraps(run)
    def passing(*arguments: P.args, **named: P.kwargs) -> T:
        if _pass.waiting is not None:  # within another
            return run(*arguments, **named)
        opened, _pass.open = _pass.open, True
        try:
            return run(*arguments, **named)
        finally:
            _pass.open = opened
            _at_once()

    return passing


def may_wait(method: Any) -> None:
    """Is asked of the method of a layer that comes next in a pass. npnet's own layers look at no element of an array,
    so their calls may wait. Whatever else stands there, a class of a user's or a function in place of a method, finds
    done all that comes before it, and what it calls is done at once."""
    if _pass.open:
        function = getattr(method, "__func__", None)  # a builtin has none
        if function is not None and _own(function, method.__self__.__class__):
            if _pass.waiting is None:
                _pass.waiting = []
        else:
            _at_once()


@lru_cache
def _own(*made: Any) -> bool:
    """Are these npnet's? Kept: to read their names at every call was a fifth of what Python does in a pass."""
    return all(str(one.__module__).startswith(OWN) for one in made)


def make_waiting() -> None:
    """Calls that have waited, now."""
    while _pass.waiting:
        calls, _pass.waiting = _pass.waiting, []
        for kind, some in groupby(calls, type):
            kind.make(list(some))  # type: ignore[attr-defined] # as the contract has it


def after_what_waits(function: Callable[P, T]) -> Callable[P, T]:
    """For kernels that cannot be prepared."""
    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        make_waiting()
        return function(*arguments, **named)

    return call


def before_what_waits(function: Callable[P, T]) -> Callable[P, T]:
    """For what touches no array that a call which waits does: those go on waiting."""
    @wraps(function)
    def call(*arguments: P.args, **named: P.kwargs) -> T:
        waiting, _pass.waiting = _pass.waiting, None
        try:
            return function(*arguments, **named)
        finally:
            _pass.waiting = waiting

    return call


def _at_once() -> None:
    """Nothing waits any more, and what comes does not."""
    try:
        make_waiting()
    finally:
        _pass.waiting = None
