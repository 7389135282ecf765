"""Weights in and out of files, in safetensors: plain arrays with names, nothing that could run."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.layers import Layer
from npnet.layers.parameter import BESIDE

__all__ = ["assign", "begin_from", "load_weights", "save_weights"]


def save_weights(net: Layer, path: str | Path) -> None:
    """Every parameter of `net` under its name."""
    save_arrays(path, {p.name: p.numpy() for p in net.parameters()}, {})


def load_weights(net: Layer, path: str | Path, averaged: bool = False) -> None:
    """The parameters of `net` from a file of `save_weights`, or from a checkpoint.

    averaged : the mean of the weights (`train.Average`), if the checkpoint has one.

    Raises UserError if the file is not whole, or holds other parameters than the net's; then nothing is changed.
    """
    means = load_arrays(path, lambda name: name.endswith(".average"))[0] if averaged else {}
    weights = {name.removesuffix(".average"): array for name, array in means.items()} or _weights(path)
    assign(net, weights, path)


def _weights(path: str | Path) -> dict[str, NDArray[Any]]:
    """Those in a file; of a checkpoint, not what lies beside them."""
    return load_arrays(path, lambda name: not name.endswith(BESIDE))[0]


def begin_from(net: Layer, path: str | Path, new: Sequence[str] = ()) -> list[str]:
    """The parameters of `net` from those of another net in a file, for fine-tuning (AlexNet §6, "1 CNN*").

    new : layers that begin as they are. If there are none, the last layer does, if it has another number of classes.
    Auxiliary classifiers in the file are left there, if the net has none.

    Returns the names of the parameters that begin anew. Raises UserError if the file holds other layers than the net's,
    or of another shape; then nothing is changed.
    """
    own = {p.name: p for p in net.parameters()}
    arrays = {name: array for name, array in _weights(path).items() if name in own or not name.startswith("head_")}
    layers = list(dict.fromkeys(name.rpartition(".")[0] for name in own))
    for layer in new:
        if layer not in layers:
            raise UserError(f"layer {layer!r} is not one of the net's: {', '.join(layers)}")
    if not new and any(name in arrays and arrays[name].shape != own[name].shape for name in own
                       if name.rpartition(".")[0] == layers[-1]):
        new = layers[-1:]
    anew = [name for name in own if name.rpartition(".")[0] in new]
    assign(net, {**arrays, **{name: own[name].numpy() for name in anew}}, path)
    return anew


def assign(net: Layer, arrays: dict[str, NDArray[Any]], path: str | Path) -> None:
    """The parameters of `net` ← `arrays`, by name. `path` is where they are from.

    Raises UserError if one is missing, too many or of another shape; then nothing is changed.
    """
    names = {p.name for p in net.parameters()}
    for name in arrays:
        if name not in names:
            raise UserError(f"{path}: holds {name}, which this net has not: it was written by another net")
    for p in net.parameters():
        if p.name not in arrays:
            raise UserError(f"{path}: holds no {p.name}: it was written by another net")
        if arrays[p.name].shape != p.shape:
            raise UserError(f"{path}: {p.name} has the shape {arrays[p.name].shape}, this net needs {p.shape}: it was "
                            f"written by another net")
    for p in net.parameters():
        p.assign(arrays[p.name])
