"""Switches: the points on which a paper and the programs after it differ, each a field whose default is the paper's
text. A preset is a set of them."""
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

Switches = TypeVar("Switches")


def chosen(presets: Mapping[str, Switches], preset: str, changed: Mapping[str, object]) -> Switches:
    """A preset, some of its switches set otherwise.

    Raises ValueError for a preset or a switch that there is not.
    """
    if preset not in presets:
        raise ValueError(f"preset (={preset!r}) must be one of {', '.join(presets)}")
    start: Any = presets[preset]
    known = [field.name for field in fields(start)]
    for name in changed:
        if name not in known:
            raise ValueError(f"switch (={name!r}) must be one of {', '.join(known)}")
    made: Switches = replace(start, **changed)
    return made


def check_numbers(switches: object, least: Mapping[str, float]) -> None:
    """Raise ValueError unless each of these switches is a number, and large enough."""
    for name, low in least.items():
        if not is_number(getattr(switches, name), low):
            raise ValueError(f"{name} (={getattr(switches, name)!r}) must be a number, at least {low}")


def is_number(value: object, least: float) -> bool:
    return isinstance(value, int | float) and abs(value) < float("inf") and value >= least
