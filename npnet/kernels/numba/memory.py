"""Arrays of this backend are NumPy's, and moving them about is NumPy's work too."""
from npnet.kernels.numpy.memory import add, concat, empty, fill, from_host, split, to_host, view

__all__ = ["add", "concat", "empty", "fill", "from_host", "split", "to_host", "view"]
