import ctypes
import gc
import os

import pytest
from hypothesis import settings


def gpus():
    """How many the driver finds, if there is one: its library may be there alone."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if os.name == "nt" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    return count.value if driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 else 0


GPU = gpus() > 0
if not GPU:
    os.environ.setdefault("NUMBA_ENABLE_CUDASIM", "1")  # before Numba is imported; nothing else of it changes

from on_device import OnDevice  # noqa: E402

from npnet import kernels  # noqa: E402

gc.set_threshold(100_000)  # Numba's compiler makes millions of objects; to look which are unused took a tenth

settings.register_profile("npnet", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("npnet")


@pytest.fixture(params=kernels.NAMES if GPU else kernels.NAMES[:2])
def backend(request):
    """Runs the test once on each backend, and gives it the backend. The simulator of a GPU is too slow for all of them:
    test_cuda.py chooses."""
    pytest.importorskip(request.param if request.param != "cuda" else "numba_cuda")
    with kernels.using(request.param) as chosen:
        if request.param == "cuda":
            chosen = OnDevice(chosen)
            kernels.use(chosen)
        yield chosen
