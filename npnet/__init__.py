"""AlexNet and GoogLeNet built from scratch in NumPy and Numba, to be read beside the papers."""
from . import kernels, layers
from .kernels import use

__all__ = ["__version__", "kernels", "layers", "use"]
__version__ = "0.1.0"
