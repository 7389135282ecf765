"""The nets: each a function that returns layers."""
from collections.abc import Callable
from typing import Any

from npnet.kernels import Shape
from npnet.layers import Sequential, SoftmaxCrossEntropy, WeightedSoftmaxCrossEntropy, WithHeads

from .alexnet import alexnet
from .alexnet import switches as alexnet_switches
from .cifar import cifar_11pct, cifar_13pct, cifar_18pct, cifar_19pct, cifar_80sec, cifar_figure1
from .googlenet import CAFFE_NAMES as GOOGLENET_NAMES
from .googlenet import googlenet, inception, naive_inception, without_reductions
from .googlenet import switches as googlenet_switches

__all__ = [
    "CAFFE_NAMES", "INPUTS", "MODELS", "SWITCHES", "Net", "alexnet", "build", "cifar_11pct", "cifar_13pct",
    "cifar_18pct", "cifar_19pct", "cifar_80sec", "cifar_figure1", "googlenet", "inception", "input_shape", "loss",
    "naive_inception", "switches", "without_reductions",
]

Net = Sequential | WithHeads
"""Anything that `build` returns."""

MODELS: dict[str, Callable[..., Net]] = {
    f.__name__: f
    for f in (cifar_80sec, cifar_19pct, cifar_18pct, cifar_13pct, cifar_11pct, cifar_figure1, alexnet, googlenet)
}

CAFFE_NAMES = {"googlenet": GOOGLENET_NAMES}
"""Of models whose layers are called otherwise in Caffe's files: their names there, and here."""

SWITCHES: dict[str, Callable[..., Any]] = {"alexnet": alexnet_switches, "googlenet": googlenet_switches}
"""Of models that have presets and switches: the function that says how they are set."""

INPUTS: dict[str, Shape] = {
    **dict.fromkeys(MODELS, (3, 32, 32)), "cifar_13pct": (3, 24, 24), "cifar_11pct": (3, 24, 24),
    "alexnet": (3, alexnet_switches().input, alexnet_switches().input), "googlenet": (3, 224, 224),
}
"""The shape (C, H, W) of the images that each model takes, as it is by default: `input_shape` knows presets too."""


def build(name: str, **arguments: object) -> Net:
    """The model of that name. Raises ValueError, with the names there are, for one that is not known, and for a preset
    of a model that has none."""
    if name not in MODELS:
        raise ValueError(f"model (={name!r}) must be one of {', '.join(MODELS)}")
    if "preset" in arguments and name not in SWITCHES:
        raise ValueError(f"model (={name!r}) has no presets: leave preset (={arguments['preset']!r}) away")
    return MODELS[name](**arguments)


def input_shape(name: str, **arguments: Any) -> Shape:
    """The shape (C, H, W) of the images that ``build(name, **arguments)`` takes."""
    if name != "alexnet":
        return INPUTS[name]
    side = switches(name, **{key: value for key, value in arguments.items() if key not in ("classes", "seed")}).input
    return 3, side, side


def switches(name: str, **arguments: Any) -> Any:
    """How the switches of ``build(name, **arguments)`` are set. Raises ValueError for a model that has none, and for a
    preset or a switch that there is not."""
    if name not in SWITCHES:
        raise ValueError(f"model (={name!r}) has no switches: {' and '.join(SWITCHES)} have")
    return SWITCHES[name](**arguments)


def loss(net: Net) -> SoftmaxCrossEntropy | WeightedSoftmaxCrossEntropy:
    """The loss that trains `net`: of its auxiliary classifiers too, if it has any."""
    return WeightedSoftmaxCrossEntropy() if isinstance(net, WithHeads) else SoftmaxCrossEntropy()
