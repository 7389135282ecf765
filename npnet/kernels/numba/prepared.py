"""Kernels whose calls are worked out once: `npnet.kernels.calls` keeps them."""
from array import array
from collections.abc import Callable, Iterator, Sequence
from functools import partial, update_wrapper
from itertools import takewhile
from typing import Any, NamedTuple, ParamSpec, cast

import numpy as np
from numpy.typing import NDArray

from npnet.kernels.calls import make_waiting

from .arrays import keep_scratch, lying_of_scratch
from .compilers import Job, compile_all
from .launch import NEXT, NOTHING, Launch, address, gate, starter, starter_of_several, stop
from .team import threads

P = ParamSpec("P")
Loops = list[tuple[Callable[..., Any], tuple[Any, ...]]]
"""Functions in order, most of them a `Launch`, each with what it is called with."""


def loop(function: Callable[..., Any], *arguments: Any) -> tuple[Callable[..., Any], tuple[Any, ...]]:
    """One of `Loops`."""
    return function, arguments


class Unless:
    """What Python does between loops only if one of the numbers is 0."""

    def __init__(self, numbers: NDArray[Any], function: Callable[[], None]) -> None:
        self.numbers, self.function = numbers, function

    def __call__(self) -> None:
        if not self.numbers.all():
            self.function()


class Chain(NamedTuple):
    """Loops written down one behind the other."""

    begin: Callable[[], int]
    gate: int  # where it begins
    stops: dict[int, tuple[Callable[..., Any], NDArray[np.int64]]]  # what Python does at each, and its block
    held: list[Any]  # what must be kept meanwhile

    def go_on(self, stopped: int) -> None:
        """From the stop on to which it came."""
        while stopped != NOTHING:
            function, block = self.stops[stopped]
            function()
            stopped = starter()(int(block[NEXT]))


def joined(loops: Loops) -> Chain:
    """As one chain, behind a `gate`. It stops where Python has something to do."""
    first = last = gate()
    stops: dict[int, tuple[Callable[..., Any], NDArray[np.int64]]] = {}
    held: list[Any] = [first]
    for function, arguments in loops:
        if isinstance(function, Launch):
            block = function.block(arguments)
            held.append(arguments)
        else:
            block = stop(function.numbers if isinstance(function, Unless) else None)
            stops[address(block)] = partial(function, *arguments), block
        held.append(block)
        last[NEXT], last = address(block), block
    return Chain(partial(starter(), address(first)), address(first), stops, held)


class _Prepared:
    """A kernel's loops, worked out anew if there are other threads since, or another one calls, or scratch memory lies
    elsewhere."""

    __slots__ = ("__weakref__", "arguments", "chain", "kernel")

    def __init__(self, kernel: Callable[..., Loops], *arguments: Any) -> None:
        self.kernel, self.arguments = kernel, arguments
        self.chain: Chain | None = None

    def __call__(self) -> None:
        chain = self.chain  # read once: another thread may let go of it, and what runs must stay
        stopped = NOTHING if chain is None else chain.begin()
        if chain is None or stopped == chain.gate:
            chain = self.chain = joined(self.kernel(*self.arguments))
            keep_scratch(self)
            stopped = chain.begin()
        if stopped != NOTHING:
            chain.go_on(stopped)

    @staticmethod
    def make(calls: Sequence["_Prepared"]) -> None:
        """One after another, without Python as far as there are chains, and they go."""
        made, compiled = 0, False
        while made < len(calls):
            chains: list[Any] = list(takewhile(bool, [call.chain for call in calls[made:]]))
            if not compiled and made + len(chains) < len(calls):
                compile_all(_to_be_called(calls[made:]), threads() - 1)
                compiled = True
            blocks = array("q", [chain.gate for chain in chains])  # where an array of NumPy's lies, it says in 40 µs
            done = starter_of_several()(blocks.buffer_info()[0], len(blocks))
            made += done
            if done < len(chains) and blocks[done] != chains[done].gate:
                chains[done].go_on(blocks[done])
            elif made < len(calls):
                calls[made]()
            made += 1

    def let_go(self) -> None:
        self.chain = None

    def then(self, other: "_Prepared") -> "_Prepared":
        """This and then the other, as one call."""
        def both() -> Loops:
            lying, loops = None, []
            while lying is not lying_of_scratch():  # the other may need more, and have moved what this one was given
                lying, loops = lying_of_scratch(), [*self.kernel(*self.arguments), *other.kernel(*other.arguments)]
            return loops

        return _Prepared(both)


def _to_be_called(calls: Sequence[_Prepared]) -> Iterator[Job]:
    """What there is no chain for yet."""
    for call in calls:
        if call.chain is None:
            try:
                loops = call.kernel(*call.arguments)
            except Exception:  # is for its turn, when what comes before is done
                return
            yield from [(f, f.types(arguments)) for f, arguments in loops if isinstance(f, Launch)]


def run(loops: Loops) -> None:
    for function, arguments in loops:
        function(*arguments)


def prepared(kernel: Callable[P, Loops]) -> Callable[P, None]:
    """A kernel of the contract, from what says its loops."""
    def call(*arguments: Any, **named: Any) -> None:
        make_waiting()
        run(kernel(*arguments, **named))

    call.prepare = lambda *arguments: _Prepared(kernel, *arguments)  # type: ignore[attr-defined]
    return cast("Callable[P, None]", update_wrapper(call, kernel))
