"""The nets: each a function that returns layers."""
from collections.abc import Callable

from npnet.kernels import Shape
from npnet.layers import Sequential

from .cifar import cifar_11pct, cifar_13pct, cifar_18pct, cifar_19pct, cifar_80sec, cifar_figure1

__all__ = [
    "INPUTS", "MODELS", "build", "cifar_11pct", "cifar_13pct", "cifar_18pct", "cifar_19pct", "cifar_80sec",
    "cifar_figure1",
]

MODELS: dict[str, Callable[..., Sequential]] = {
    f.__name__: f for f in (cifar_80sec, cifar_19pct, cifar_18pct, cifar_13pct, cifar_11pct, cifar_figure1)
}

INPUTS: dict[str, Shape] = {
    **dict.fromkeys(MODELS, (3, 32, 32)), "cifar_13pct": (3, 24, 24), "cifar_11pct": (3, 24, 24),
}
"""The shape (C, H, W) of the images that each model takes."""


def build(name: str, **arguments: object) -> Sequential:
    """The model of that name. Raises ValueError, with the names there are, for one that is not known."""
    if name not in MODELS:
        raise ValueError(f"model (={name!r}) must be one of {', '.join(MODELS)}")
    return MODELS[name](**arguments)
