"""Checkpoints: all that a run needs to go on as if it had never stopped, in one file, written at once."""
from pathlib import Path
from typing import Any

import numpy as np

from npnet.errors import UserError
from npnet.files import load_arrays, save_arrays
from npnet.layers import Layer
from npnet.layers.parameter import BESIDE
from npnet.weights import assign

from .average import Average
from .sgd import SGD

NAME = "checkpoint.safetensors"


def save(path: Path, net: Layer, sgd: SGD, facts: dict[str, Any], average: Average | None = None) -> None:
    """Weights, velocities (``weight name + ".velocity"``), mean weights (``".average"``, ``".rounding"``), if there are
    any yet, and `facts` (JSON) ← the run as it stands.

    Raises UserError if it cannot be written; an older checkpoint is then still there, untouched.
    """
    arrays = {p.name: p.numpy() for p in net.parameters()}
    for p, v in zip(sgd.parameters, sgd.velocities, strict=True):
        arrays[f"{p.name}.velocity"] = p.kernels.to_host(v)
    if average and average.count:
        for p, a, rounding in zip(average.parameters, average.values, average.rounding, strict=True):
            arrays |= {f"{p.name}.average": p.kernels.to_host(a), f"{p.name}.rounding": p.kernels.to_host(rounding)}
        facts = {**facts, "averaged": average.count}
    try:
        save_arrays(path, arrays, facts)
    except OSError as error:
        raise UserError(
            f"{path}: the checkpoint cannot be written ({error.strerror or error}); the one before it is untouched: "
            f"make room, and go on with --resume"
        ) from None


def step(path: Path) -> int | None:
    """After which step it was written; None, if there is none."""
    facts: Any = load_arrays(path, lambda name: False)[1] if path.exists() else {}
    return facts.get("step") if isinstance(facts, dict) else None


def load(path: Path, net: Layer, sgd: SGD, average: Average | None = None) -> dict[str, Any]:
    """Restores what `save` wrote, and returns its `facts`.

    Raises UserError if the file is not whole, holds no velocities, or is another net's; then nothing is changed.
    """
    arrays, facts = load_arrays(path)
    if not isinstance(facts, dict):
        raise UserError(f"{path}: says nothing of its run: it is no checkpoint")
    velocities, means, roundings = (
        {name: array for name, array in arrays.items() if name.endswith(end)} for end in BESIDE)
    weights = {name: array for name, array in arrays.items() if not name.endswith(BESIDE)}
    for name in [p.name for p in sgd.parameters if p.name in weights]:
        velocity = velocities.get(f"{name}.velocity")
        complete = {"step", "seconds", "tally", "schedule"} <= facts.keys()
        if velocity is None or velocity.shape != weights[name].shape or not complete:
            raise UserError(f"{path}: holds weights but no velocities: it is no checkpoint")
    if average and facts.get("averaged"):
        for p in average.parameters:
            mean = means.get(f"{p.name}.average")
            rounding = roundings.setdefault(f"{p.name}.rounding", np.zeros(p.shape, p.dtype))  # older have none
            shape = weights[p.name].shape if p.name in weights else None  # `assign` misses it
            if shape is not None and (mean is None or mean.shape != shape or rounding.shape != shape):
                raise UserError(f"{path}: holds no mean of {p.name}: it is damaged")
    assign(net, weights, path)
    if average:
        average.count = facts.get("averaged", 0)
        for p, a, r in zip(average.parameters, average.values, average.rounding, strict=True):
            if average.count:
                p.kernels.from_host(means[f"{p.name}.average"], a)
                p.kernels.from_host(roundings[f"{p.name}.rounding"], r)
    for p, v in zip(sgd.parameters, sgd.velocities, strict=True):
        p.kernels.from_host(velocities[f"{p.name}.velocity"], v)
    return facts
