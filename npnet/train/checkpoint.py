"""Checkpoints: all that a run needs to go on as if it had never stopped, in one file, written at once."""
from pathlib import Path
from typing import Any

from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.layers import Layer
from npnet.weights import assign

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
            f"{path}: the checkpoint cannot be written ({error.strerror or error}); the one before it is untouched: "
            f"make room, and go on with --resume"
        ) from None


def load(path: Path, net: Layer, sgd: SGD) -> dict[str, Any]:
    """Restores what `save` wrote, and returns its `facts`.

    Raises UserError if the file is not whole, holds no velocities, or is another net's; then nothing is changed.
    """
    arrays, facts = load_arrays(path)
    velocities = {name: array for name, array in arrays.items() if name.endswith(".velocity")}
    weights = {name: array for name, array in arrays.items() if name not in velocities}
    for name in [p.name for p in sgd.parameters if p.name in weights]:
        velocity = velocities.get(f"{name}.velocity")
        complete = {"step", "seconds", "tally", "schedule"} <= facts.keys()
        if velocity is None or velocity.shape != weights[name].shape or not complete:
            raise UserError(f"{path}: holds weights but no velocities: it is no checkpoint")
    assign(net, weights, path)
    for p, v in zip(sgd.parameters, sgd.velocities, strict=True):
        p.kernels.from_host(velocities[f"{p.name}.velocity"], v)
    return facts
