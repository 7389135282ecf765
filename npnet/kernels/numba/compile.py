"""How the loops are compiled.

Every kernel is a plain Python function, its name beginning with an underscore: the slowest and plainest reading of the
equation, which stays callable. It is compiled by assignment, ``pack = serial(_pack)``, at its first call with a new
combination of types, and kept on disk (numba's cache), so that the next start finds it ready. What runs on all cores:
`team`.
"""
import gc
import itertools
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import numba
import numba.extending
from numba.core import bytecode, codegen, compiler
from numba.core.caching import IndexDataCacheFile
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher

Loop = Callable[..., Any]

UNCOUNTED = {"_nrt": False}
"""Numba counts who uses an array, by a call at each use it cannot prove needless: in an inner loop of max pooling that
took as long as the rest of it. What makes no arrays can do without: whoever called keeps them."""


def _name_apart() -> None:
    """Numba tells functions of one name apart by a number that it counts up, and in machine code that is part of the
    name. Functions made in a loop have one name: `transforms.square` makes fifteen. Two processes that compiled
    different ones of them gave both the same number; a third that found both on disk took either for the other, and
    gradients were wrong, without a word. So every process counts from a place of its own."""
    bytecode.FunctionIdentity._unique_ids = itertools.count(int.from_bytes(os.urandom(6), "big"))


_name_apart()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_name_apart)


@cache
def version() -> str:
    """Of what is kept on disk. What is compiled of one file here has parts of others in it, and numba looks only at the
    time of the one: so it goes by what stands in all of them."""
    sources = sorted(Path(__file__).parent.glob("*.py"))
    return f"{numba.__version__} {sha256(b''.join(source.read_bytes() for source in sources)).hexdigest()}"


class _Files(IndexDataCacheFile):  # type: ignore[misc]
    """Numba's cache of a function, for processes that compile at the same time.

    Numba names what it has compiled 1, 2, … in an index, which it writes first. Two processes that begin with different
    types both write 1, and a third finds in 1 what the index does not say: float64's code for float32, or what an older
    source was compiled to. Here a name belongs to the types, and is there before the index says so.
    """

    def save(self, key: Any, data: Any) -> None:
        name = self._data_name(int.from_bytes(sha256(repr(key).encode()).digest()[:6], "big"))
        self._save_data(name, data)
        self._save_index(self._load_index() | {key: name})


MANY = 100_000  # objects more, before Python looks which of them nothing but each other refers to


class _Kept(CPUDispatcher):  # type: ignore[misc]
    """Numba's function that Python calls. Python looks for unused objects whenever there are 700 more; a compiler makes
    millions, and uses nearly all: looking took a twentieth of AlexNet's first step."""

    def compile(self, types: Any) -> Any:
        with global_compiler_lock:
            first, *others = gc.get_threshold()
            gc.set_threshold(first and max(first, MANY), *others)  # 0 is never
            try:
                return super().compile(types)
            finally:
                gc.set_threshold(first, *others)


def kept(loop: Loop, **options: Any) -> Loop:
    """Compiled, and kept on disk; where nothing can be written, compiled again by each process."""
    fast: Any = numba.njit(nogil=True, error_model="numpy", **options)(loop)
    fast.__class__ = _Kept
    with suppress(RuntimeError):  # no folder for the cache: neither beside the package nor in the user's home
        fast.enable_caching()
        files = fast._cache._cache_file
        files.__class__, files._version = _Files, version()
    return cast(Loop, fast)


def not_on_disk(fast: Any, types: tuple[Any, ...]) -> bool:
    """Could it be there, compiled for these types, and is not?"""
    files = getattr(fast._cache, "_cache_file", None)
    return files is not None and fast._cache._index_key(types, fast.targetctx.codegen()) not in files._load_index()


class _Code(codegen.JITCodeLibrary):  # type: ignore[misc]
    """LLVM's instructions of a function, to be made part of others: there they are optimised, and machine code."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


class _AsPart(compiler.Compiler):  # type: ignore[misc]
    """Numba's compiler, as far as it goes for a function that only compiled code calls."""

    def __init__(
        self, typing: Any, target: Any, library: Any, arguments: Any, result: Any, flags: Any, names: Any
    ) -> None:
        flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
        super().__init__(typing, target, _Code(target.codegen(), "part"), arguments, result, flags, names)
        # numba knows a function by a builtin, each by its own; nobody calls it
        self.state.targetctx.get_executable = lambda *_: [].append


class _Part(CPUDispatcher):  # type: ignore[misc]
    """A function that compiled code calls, and perhaps Python.

    For each of them numba makes machine code of it and of all that it calls, as if Python did: of a loop in a loop in a
    loop three times, of which two are never run. AlexNet's first step took 69 s, and takes 51. So it is compiled with
    those that call it; where Python does, by itself.
    """

    def __init__(self, loop: Loop, **options: Any) -> None:
        self._for_python, self._options = kept(loop, **options), options
        super().__init__(loop, {}, {"nopython": True, "nogil": True, "error_model": "numpy", **options}, _AsPart)

    def __call__(self, *arguments: Any) -> Any:
        return self._for_python(*arguments)

    def __reduce__(self) -> tuple[Any, ...]:
        """As what it was made of: numba's way would call `__init__` with other arguments."""
        return partial(_Part, **self._options), (self.py_func,)


def serial(loop: Loop) -> Loop:
    """On the thread that calls it: too little work to divide, or part of a kernel that is divided."""
    return cast(Loop, _Part(loop, **UNCOUNTED))


def serial_sums(loop: Loop) -> Loop:
    """`serial`, and sums are added up in whichever order is quickest (always the same one): in the order they are
    written in, they could not become vector additions."""
    return cast(Loop, _Part(loop, fastmath={"reassoc"}, **UNCOUNTED))


PART = {"pipeline_class": _AsPart, **UNCOUNTED}
"""Numba's options for what it compiles of its own accord: 60 small functions of AlexNet's, each made machine code of
and then compiled again where it is called, were a sixth of its first step."""


def overload(loop: Loop, **options: Any) -> Callable[[Loop], Loop]:
    """What compiled code calls in place of `loop`, as `numba.extending.overload` has it; a part of what calls it."""
    return cast(Callable[[Loop], Loop], numba.extending.overload(loop, jit_options=PART, **options))


def jitable(loop: Loop) -> Loop:
    """Compiled as a part of what calls it; Python calls it as it is."""
    return cast(Loop, numba.extending.register_jitable(**PART)(loop))


def inlined(loop: Loop) -> Loop:
    """Part of the kernels that call it, written out in them: a call costs as much as a row of 32 pixels."""
    fast: Loop = numba.njit(inline="always")(loop)
    return fast
