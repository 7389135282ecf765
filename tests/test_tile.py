"""The tile in instructions against the tile in Python, as other machines would have it too."""
import importlib.util

import numba
import numpy as np
import pytest
from numba.core import codegen

from npnet.kernels.numba import tile as this_machine

MACHINES = {"avx512": "+avx512f,+avx2", "avx2": "+avx2,+fma", "neon": "+neon", "neither": "+sse2"}


@pytest.fixture(params=MACHINES)
def machine(request, monkeypatch):
    """tile.py as it would be read on a machine with these features. LLVM makes wider vectors of what there is, where
    no instruction is named."""
    if request.param == "avx2" and this_machine.BYTES < 32:
        pytest.skip("this machine has no AVX2")
    monkeypatch.setattr(codegen, "get_host_cpu_features", lambda: MACHINES[request.param])
    monkeypatch.setattr(numba.config, "CPU_FEATURES", None)
    spec = importlib.util.spec_from_file_location(f"npnet.kernels.numba.tile_{request.param}", this_machine.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def operands(rows, width, taps, dtype, seed=0):
    """Rows of a that lie apart and overlap, rows of b in any order."""
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal(taps * 3 + 50).astype(dtype), rng.standard_normal(taps + width + 9).astype(dtype)
    return a, rng.integers(0, 50, rows), 3, b, rng.integers(0, taps + 9, taps), rng.standard_normal(rows * width)


@pytest.mark.parametrize("anew", [False, True])
def test_a_tile_is_what_the_plain_loop_says(machine, anew):
    call = numba.njit(lambda *arguments: machine.tile(*arguments))
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-13)):
        single = machine.lanes(np.dtype(dtype).itemsize)
        assert machine.widest(np.dtype(dtype).itemsize) == machine.VECTORS * single
        for width in range(single, machine.VECTORS * single + 1, single):
            for taps in (0, 1, 37):
                *given, c = operands(machine.ROWS, width, taps, dtype)
                if anew:
                    c[0] = np.nan  # whatever it was
                fast, plain = c.astype(dtype), c.astype(dtype)
                call(*given, anew, fast, width)
                machine.tile(*given, anew, plain, width)
                asked = c.astype(dtype)
                call(*given, anew, asked, width, 10**6)  # where nothing is
                np.testing.assert_array_equal(asked, fast)
                np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance)
                a, rows, step, b, offsets, c = *given, c
                expected = (np.zeros_like(c) if anew else c.copy()).reshape(-1, width)
                for t in range(taps):
                    expected += np.outer(a[rows + t * step], b[offsets[t] : offsets[t] + width])
                np.testing.assert_allclose(plain, expected.ravel(), rtol=10 * tolerance, atol=10 * tolerance)


def test_nothing_is_lost_that_is_not_finite(machine):
    call = numba.njit(lambda *arguments: machine.tile(*arguments))
    width = machine.lanes(4)
    a, rows, step, b, offsets, c = operands(machine.ROWS, width, 5, np.float32)
    b[offsets[2]] = np.nan
    c = c.astype(np.float32)
    call(a, rows, step, b, offsets, False, c, width)
    assert np.isnan(c[::width]).all()
