"""Where numba's arrays lie: small ones together, each from the beginning of a line of the cache."""
import gc
import importlib
import threading
import weakref
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("numba")

from npnet.kernels.numba import walks
from npnet.kernels.numba.arrays import LINE, PLANS
from npnet.kernels.numba.memory import PAGE, _Page, empty

BYTES = np.dtype(np.uint8)


def extent(x):
    return x.ctypes.data, x.ctypes.data + x.nbytes


def assert_apart(arrays):
    extents = sorted(extent(x) for x in arrays if x.nbytes)
    assert all(end <= begin for (_, end), (begin, _) in pairwise(extents))


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(1, 900), st.sampled_from(["f4", "f8", "i8", "u1"])),
                min_size=1, max_size=9))
def test_every_array_has_a_place_of_its_own(asked):
    arrays = [empty((rows, columns), np.dtype(kind)) for rows, columns, kind in asked]
    for x, (rows, columns, kind) in zip(arrays, asked, strict=True):
        assert x.shape == (rows, columns)
        assert x.dtype == kind
        assert x.flags.c_contiguous
        assert x.flags.writeable
        assert x.ctypes.data % LINE == 0 or not x.size
    assert_apart(arrays)


def test_small_arrays_lie_in_one_huge_page():
    """So the system can give them one."""
    page = _Page()
    arrays = [page.take(size) for size in (1, PAGE // 2, 64, 1000)]
    assert {place // PAGE for x in arrays for place in (extent(x)[0], extent(x)[1] - 1)} == {
        arrays[0].ctypes.data // PAGE}
    assert arrays[0].ctypes.data % PAGE == 0
    assert page.take(PAGE // 2).ctypes.data % PAGE == 0  # which has no room there: the next one


def test_a_page_is_given_back_when_nothing_is_left_in_it():
    page = _Page()
    one, other = page.take(100), page.take(PAGE // 2)
    memory = weakref.ref(one.base)
    assert other.base is one.base
    page.take(PAGE // 2)
    del one
    gc.collect()
    assert memory() is not None
    del other
    gc.collect()
    assert memory() is None


def test_large_arrays_have_their_own_memory():
    one, other = (empty((PAGE // 2 + 1,), BYTES) for _ in range(2))
    assert one.base is not other.base


def test_two_threads_get_different_places():
    page, taken = _Page(), []

    def take():
        taken.extend([page.take(size % 500) for size in range(3000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 12000
    assert_apart(taken)


def test_plans_do_not_pile_up():
    """Images of a thousand sizes: whatever is worked out for one is let go of after some hundred others."""
    for width in range(3, PLANS + 13):
        walks.planned((3, width), (3, width), 3, 1, 1, 4)
    assert walks.planned.cache_info().currsize == PLANS
    folder = Path(walks.__file__).parent
    loops = [importlib.import_module(f"npnet.kernels.numba.{file.stem}") for file in folder.glob("[a-z]*.py")]
    kept = {value for loop in loops for value in vars(loop).values() if hasattr(value, "cache_info")}
    for_all = {of.__name__ for of in kept if of.cache_info().maxsize is None}
    assert for_all == {"_nowhere", "_pick_vector", "_registers", "_turn", "lowest", "single_threaded_blas", "starter",
                       "starter_of_several", "version"}, "none of these has a size of an image"
