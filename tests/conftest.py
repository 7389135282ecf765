import pytest
from hypothesis import settings

import npnet
from npnet import kernels

settings.register_profile("npnet", derandomize=True, deadline=None, max_examples=20)
settings.load_profile("npnet")


@pytest.fixture(params=kernels.NAMES)
def backend(request):
    """Runs the test once on each backend, and gives it the backend."""
    pytest.importorskip(request.param)
    before = kernels._active
    npnet.use(request.param)
    yield kernels.active()
    kernels._active = before
