"""What this machine can do at best: the marks that a layer is measured by."""
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np


def best(call: Callable[[], object], runs: int = 7) -> float:
    """Seconds of the fastest of some calls, after one that is not counted."""
    call()
    times = []
    for _ in range(runs):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def matrix_product(size: int = 2048) -> float:
    """GFLOP/s of NumPy's matrix product in float32, on all the threads its library takes."""
    a = np.random.default_rng(0).standard_normal((size, size), np.float32)
    out = np.empty_like(a)
    return 2 * size**3 / best(lambda: np.matmul(a, a, out=out)) / 1e9


def copying(threads: int, megabytes: int = 256) -> float:
    """GB/s, read and written, of a copy of memory that is too large for the caches, each thread its part."""
    source, target = np.empty((2, megabytes * 250_000), np.float32)
    source[:], target[:] = 1, 0  # of what has never been written there is one page of zeros, which the caches hold
    parts = [slice(len(source) * t // threads, len(source) * (t + 1) // threads) for t in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return 2 * source.nbytes / best(lambda: list(pool.map(lambda p: np.copyto(target[p], source[p]), parts))) / 1e9


def machine() -> dict[str, Any]:
    """The processor in words, cores, the core type of NumPy's BLAS, versions."""
    from threadpoolctl import threadpool_info

    from npnet.kernels.numba.team import is_scipys

    blas = [f"{i['internal_api']} {i.get('version', '')} for {i.get('architecture', 'unknown')}"
            for i in sorted(threadpool_info(), key=lambda i: is_scipys(i["filepath"])) if i["user_api"] == "blas"]
    return {
        "processor": _processor(), "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(), "numpy": np.__version__, "blas": blas[0] if blas else "unknown",
        "date": time.strftime("%Y-%m-%d"),
    }


def _processor() -> str:
    """Its name, and which vector instructions it has."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    facts = dict(line.split(":", 1) for line in lines if ":" in line)
    facts = {key.strip(): value.strip() for key, value in facts.items()}
    flags = facts.get("flags", "").split()
    vectors = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return ", ".join(filter(None, (facts.get("model name", platform.machine()), vectors)))
