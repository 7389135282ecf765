"""How things are computed: one contract (`npnet.kernels.contract`), interchangeable backends.

``numpy`` is the definition: short, vectorised, to be followed with a pencil. ``numba`` is the fast one, ``cuda`` the
one for an NVIDIA GPU. All backends define the same functions with the same arguments, so that a layer never asks which
of them it runs on.
"""
import importlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from .contract import Array, Backend, Shape

if TYPE_CHECKING:  # the type checker holds every backend against the contract
    from numpy.typing import NDArray

    from . import cuda, numba, numpy

    _definition: Backend[NDArray[Any]] = numpy
    _fast: Backend[NDArray[Any]] = numba
    _device: Backend[Any] = cuda

__all__ = ["NAMES", "Array", "Backend", "Shape", "active", "active_name", "asked", "name_of", "use", "using"]

NAMES = ("numpy", "numba", "cuda")
PACKAGES = {"cuda": "'npnet[cuda13]' (or 'npnet[cuda12]', for a driver of CUDA 12)"}
"""What to install for a backend, where it is not a package of its name."""
_active: Backend[Array] | None = None


def use(backend: "str | Backend[Any]") -> None:
    """Choose the backend for layers made from now on: ``"numpy"``, ``"numba"``, ``"cuda"``, or an object that
    fulfils the contract.

    Raises
    ------
    ValueError
        If there is no backend of that name.
    ImportError
        If what it runs on is not installed, or there is no GPU; the message says what to do.
    """
    global _active
    if not isinstance(backend, str):
        _active = backend
        return
    if backend not in NAMES:
        raise ValueError(f"backend (={backend!r}) must be one of {', '.join(NAMES)}")
    try:
        chosen = importlib.import_module(f"{__name__}.{backend}")
    except ImportError as error:
        raise ImportError(
            f"backend {backend!r} needs a package that cannot be imported ({error}): pip install "
            f"{PACKAGES.get(backend, backend)}, or choose another with NPNET_BACKEND=numpy") from error
    if backend == "cuda":
        chosen.launch.check()
        chosen.memory.try_out()
    _active = cast("Backend[Array]", chosen)


@contextmanager
def using(backend: "str | Backend[Any]") -> Iterator[Backend[Array]]:
    """Within, `backend` is the chosen one; afterwards the one before, and none is loaded if none had been."""
    global _active
    before = _active
    try:
        use(backend)
        yield active()
    finally:
        _active = before


def asked() -> str:
    """Name of the backend that is taken if `use` sets none: the environment's ``NPNET_BACKEND``, else numba."""
    return os.environ.get("NPNET_BACKEND") or "numba"


def active() -> Backend[Array]:
    """The chosen backend: what `use` set, else the one `asked` for."""
    if _active is None:
        use(asked())
    assert _active is not None
    return _active


def active_name() -> str:
    """`name_of` the chosen backend."""
    return name_of(active())


def name_of(backend: Backend[Any]) -> str:
    """The last part of a backend's name, as `use` takes it."""
    return str(getattr(backend, "__name__", type(backend).__name__)).rpartition(".")[2]
