"""Kernels whose calls are worked out once: `npnet.kernels.calls` keeps them."""
from collections.abc import Callable
from functools import partial, update_wrapper
from typing import Any, ParamSpec, cast

from .arrays import keep_scratch, lying_of_scratch
from .launch import NEXT, Launch, address, gate, starter

P = ParamSpec("P")
Loops = list[tuple[Callable[..., Any], tuple[Any, ...]]]
"""Functions in order, most of them a `Launch`, each with what it is called with."""


def loop(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """One of `Loops`."""
    return function, arguments


class _Prepared:
    """A kernel's loops, worked out anew if there are other threads since, or another one calls, or scratch memory lies
    elsewhere."""

    __slots__ = ("__weakref__", "arguments", "kernel", "ready")

    def __init__(self, kernel: Callable[..., Loops], *arguments: Any) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.ready: tuple[Callable[[], Any], list[Callable[[], Any]], list[Any]] | None = None

    def __call__(self) -> None:
        ready = self.ready  # read once: another thread may let go of it, and what runs must stay
        if ready is None or not ready[0]():
            [first, *rest], held = joined(self.kernel(*self.arguments))
            ready = self.ready = first, rest, held
            keep_scratch(self)
            first()
        for call in ready[1]:
            call()

    def let_go(self) -> None:
        self.ready = None

    def then(self, other: "_Prepared") -> "_Prepared":
        """This and then the other, as one call."""
        def both() -> Loops:
            lying, loops = None, []
            while lying is not lying_of_scratch():  # the other may need more, and have moved what this one was given
                lying, loops = lying_of_scratch(), [*self.kernel(*self.arguments), *other.kernel(*other.arguments)]
            return loops

        return _Prepared(both)


def joined(loops: Loops) -> tuple[list[Callable[[], Any]], list[Any]]:
    """The same as calls without arguments, where one start can do several as one call; and what must be kept for them
    to be valid. The first begins at a `gate`: where that is shut it says False, and does nothing."""
    start = starter()
    last: Any = gate()
    calls: list[Callable[[], Any]] = [partial(start, address(last))]
    held: list[Any] = [last]
    for function, arguments in loops:
        if not isinstance(function, Launch):
            calls.append(partial(function, *arguments))
            last = None
            continue
        block = function.block(arguments)
        held.append((block, arguments))
        if last is None:
            calls.append(partial(start, address(block)))
        else:
            last[NEXT] = address(block)
        last = block
    return calls, held


def run(loops: Loops) -> None:
    for function, arguments in loops:
        function(*arguments)


def prepared(kernel: Callable[P, Loops]) -> Callable[P, None]:
    """A kernel of the contract, from what says its loops."""
    def call(*arguments: Any, **named: Any) -> None:
        run(kernel(*arguments, **named))

    call.prepare = lambda *arguments: _Prepared(kernel, *arguments)  # type: ignore[attr-defined]
    return cast("Callable[P, None]", update_wrapper(call, kernel))
