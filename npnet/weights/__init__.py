"""Weights in and out of files, in safetensors: plain arrays with names, nothing that could run."""
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from npnet.errors import UserError
from npnet.files import write_atomically
from npnet.layers import Layer

__all__ = ["assign", "load_arrays", "load_weights", "save_arrays", "save_weights"]


def save_weights(net: Layer, path: str | Path) -> None:
    """Every parameter of `net` under its name."""
    save_arrays(path, {p.name: p.numpy() for p in net.parameters()}, {})


def load_weights(net: Layer, path: str | Path) -> None:
    """The parameters of `net` from a file of `save_weights`, or from a checkpoint.

    Raises UserError if the file is not whole, or holds other parameters than the net's; then nothing is changed.
    """
    arrays, _ = load_arrays(path)
    assign(net, {name: array for name, array in arrays.items() if not name.endswith(".velocity")}, path)


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


def save_arrays(path: str | Path, arrays: dict[str, NDArray[Any]], facts: dict[str, Any]) -> None:
    """Arrays by name, and what else is to be known about them (JSON), in one safetensors file."""
    from safetensors.numpy import save

    write_atomically(
        Path(path), save({k: np.asarray(v, order="C") for k, v in arrays.items()}, {"npnet": json.dumps(facts)})
    )


def load_arrays(path: str | Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """What `save_arrays` wrote. Raises UserError if there is no such file, or it is not whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            facts = (file.metadata() or {}).get("npnet", "{}")
            return {name: file.get_tensor(name) for name in file.keys()}, json.loads(facts)  # noqa: SIM118 (no mapping)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path}: not a whole safetensors file ({error}): replace it, or delete it to begin anew"
                        ) from None
