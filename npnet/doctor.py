"""What `npnet doctor` finds: is everything there, and how fast is it?"""
import importlib.metadata
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path

from npnet import __version__, kernels
from npnet.data import cifar10
from npnet.errors import UserError

PACKAGES = ("numpy", "scipy", "numba", "llvmlite", "matplotlib", "pillow", "tqdm", "threadpoolctl", "pooch",
            "safetensors", "numba-cuda")
NOT_NEEDED = ("numba-cuda",)
"""But for a GPU."""


def report() -> Iterator[tuple[bool, str, str]]:
    """(is it well, what, how it is), one finding at a time."""
    yield True, "npnet", f"{__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    for part in (_packages, _backend, _gpu, _blas, _data, _speed):
        try:
            yield from part()
        except (ImportError, ValueError, UserError) as error:  # what is wrong with one hides nothing of the others
            yield False, part.__name__.strip("_"), " ".join(str(error).split())


def _packages() -> Iterator[tuple[bool, str, str]]:
    versions, missing = [], []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            missing += [package] if package not in NOT_NEEDED else []
    yield True, "packages", ", ".join(versions)
    if missing:
        yield False, "missing", f"{', '.join(missing)}: pip install {' '.join(missing)}"


def _backend() -> Iterator[tuple[bool, str, str]]:
    name = kernels.active_name()
    if name != "numba":
        fast = "" if name == "cuda" else " (numba is the fast one: NPNET_BACKEND=numba)"
        yield True, "backend", f"{name}{fast}"
        return
    import numba

    cache = Path(numba.config.CACHE_DIR) if numba.config.CACHE_DIR else Path(kernels.__file__).parent / "numba"
    yield True, "backend", f"numba on {numba.get_num_threads()} of {os.cpu_count()} cores (NUMBA_NUM_THREADS)"
    if os.access(cache, os.W_OK):
        yield True, "cache", "compiled kernels are kept on disk"
    else:
        yield True, "cache", "compiled kernels are kept in your home folder (NUMBA_CACHE_DIR chooses another)"


def _gpu() -> Iterator[tuple[bool, str, str]]:
    """What the backend cuda would run on. To do without is no fault, unless it was asked for."""
    try:
        with kernels.using("cuda"):
            pass
    except ImportError as error:
        yield kernels.asked() != "cuda", "GPU", " ".join(str(error).split())
        return
    if _simulated():
        yield True, "GPU", "Numba's simulator (NUMBA_ENABLE_CUDASIM=1): to follow kernels in, not to train"
        return
    from npnet.bench.gpu import machine

    yield True, "GPU", f"{machine()['gpu']} (--backend cuda, or NPNET_BACKEND=cuda)"


def _simulated() -> bool:
    from npnet.kernels.cuda.launch import SIMULATED

    return SIMULATED


def _blas() -> Iterator[tuple[bool, str, str]]:
    import scipy.linalg.cython_blas  # noqa: F401 (the library that kernels call)
    from threadpoolctl import threadpool_info

    from npnet.kernels.numba.team import is_scipys

    found = [i for i in threadpool_info() if i["user_api"] == "blas"]
    for i in found:
        owner = "SciPy's (the kernels')" if is_scipys(i["filepath"]) else "NumPy's"
        core = i.get("architecture", "unknown")
        yield True, "BLAS", f"{owner}: {i['internal_api']} {i.get('version', '')}, core type {core}"
    forced = os.environ.get("OPENBLAS_CORETYPE")
    if forced:
        yield False, "BLAS", f"OPENBLAS_CORETYPE={forced} forces a core type, perhaps a slow one: unset it"
    if not found:
        yield True, "BLAS", "none that threadpoolctl knows"


def _data() -> Iterator[tuple[bool, str, str]]:
    try:
        folder = cifar10.find()
        if folder:
            cifar10.check(folder)
    except UserError as error:
        yield False, "CIFAR-10", str(error)
        return
    yield True, "CIFAR-10", f"in {folder}" if folder else "not found: npnet download cifar10 fetches it"


def _speed() -> Iterator[tuple[bool, str, str]]:
    from npnet.bench.limits import best, matrix_product
    from npnet.bench.worker import Npnet

    yield True, "matrix product", f"{matrix_product(1024):.0f} GFLOP/s in float32 (NumPy, 1024 × 1024)"
    if kernels.active_name() == "cuda" and _simulated():
        return
    batch = 128
    side = Npnet("cifar_18pct", batch, os.cpu_count() or 1)
    began = time.perf_counter()
    side.step()
    first = time.perf_counter() - began
    speed = batch / best(side.step, 5)
    yield True, "training", (f"{speed:,.0f} images/s with cifar_18pct, batch {batch}; the first step took {first:.1f} "
                             f"s (compiling, or loading what was compiled)")
