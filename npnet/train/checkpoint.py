"""Checkpoints: all that a run needs to go on as if it had never stopped, in one file, written at once."""
from pathlib import Path
from typing import Any

from npnet.errors import UserError
from npnet.layers import Layer
from npnet.weights import load_arrays, load_weights, save_arrays

from .sgd import SGD

NAME = "checkpoint.safetensors"


def save(path: Path, net: Layer, sgd: SGD, facts: dict[str, Any]) -> None:
    """Weights, velocities (``weight name + ".velocity"``) and `facts` (JSON) ← the run as it stands.

    Raises UserError if it cannot be written; an older checkpoint is then still there, untouched.
    """
    arrays = {p.name: p.numpy() for p in net.parameters()}
    for p, v in zip(sgd.parameters, sgd.velocities, strict=True):
        arrays[f"{p.name}.velocity"] = p.kernels.to_host(v)
    try:
        save_arrays(path, arrays, facts)
    except OSError as error:
        raise UserError(
            f"{path}: the checkpoint cannot be written ({error.strerror}); the one before it is untouched: "
            f"make room, and go on with --resume"
        ) from None


def load(path: Path, net: Layer, sgd: SGD) -> dict[str, Any]:
    """Restores what `save` wrote, and returns its `facts`."""
    load_weights(net, path)
    arrays, facts = load_arrays(path)
    for p, v in zip(sgd.parameters, sgd.velocities, strict=True):
        if f"{p.name}.velocity" not in arrays:
            raise UserError(f"{path}: holds weights but no velocities: it is no checkpoint")
        p.kernels.from_host(arrays[f"{p.name}.velocity"], v)
    return facts
