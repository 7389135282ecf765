"""What every notebook begins with, and what its figures and sliders are shown by."""
import io
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .plot import COLOURS

BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK = COLOURS
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

MARKS = ("results/figure1", "npnet/layers")


def begin() -> bool:
    """To the root of the repository, so that `data/` and `results/` are its own. Returns whether trainings are to be
    cut short, as ``NPNET_QUICK=1`` in the environment asks."""
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if any((p / mark).is_dir() for mark in MARKS)), here)
    os.chdir(root)
    warnings.filterwarnings("ignore", "IProgress not found")  # said by tqdm, whose bars are not used
    return os.environ.get("NPNET_QUICK", "0") not in ("", "0")


def show(figure: Any, alt: str) -> None:
    """A figure below its cell, with a description for those who cannot see it."""
    from IPython.display import Image, display
    from PIL import Image as Picture

    for axes in figure.axes:
        if not axes.images:
            axes.spines[["top", "right"]].set_visible(False)
    drawn, png = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Picture.open(drawn).convert("RGB").quantize(64).save(png, "png", optimize=True)  # a third of the bytes
    display(Image(png.getvalue(), alt=alt))  # type: ignore[no-untyped-call]


def slide(draw: Callable[..., Any], alt: str, **values: tuple[float, float, float, float]) -> None:
    """Shows what `draw` makes of some values, with a slider for each, where somebody can move them.

    draw : makes a figure.  values : of each argument where it stands, the least, the most, and the step. Where nobody
    can (no ipywidgets, or ``NPNET_STATIC=1``, as when notebooks are stored), the figure is drawn once.
    """
    try:
        import ipywidgets
    except ImportError:
        ipywidgets = None
    if ipywidgets is None or os.environ.get("NPNET_STATIC", "0") not in ("", "0"):
        show(draw(**{name: value for name, (value, *_) in values.items()}), alt)
        return
    sliders = {}
    for name, (value, least, most, step) in values.items():
        whole = all(float(number).is_integer() for number in (value, least, most, step))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        form = {} if whole else {"readout_format": ".4g"}
        sliders[name] = kind(value=value, min=least, max=most, step=step, description=name, **form)
    ipywidgets.interact(lambda **moved: show(draw(**moved), alt), **sliders)
