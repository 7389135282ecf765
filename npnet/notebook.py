"""What every notebook begins with, and what its figures, sliders and growing curves are shown by."""
import base64
import html
import io
import math
import os
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from npnet import plot
from npnet.plot import COLOURS

BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, BLACK = COLOURS
"""Okabe and Ito's palette, which colour-blind readers can tell apart."""

Size = TypeVar("Size")

MARKS = ("results/figure1", "npnet/layers")


def begin() -> bool:
    """To the root of the repository, so that `data/` and `results/` are its own. Returns whether trainings are to be
    cut short, as ``NPNET_QUICK=1`` in the environment asks."""
    here = Path.cwd()
    root = next((p for p in (here, *here.parents) if any((p / mark).is_dir() for mark in MARKS)), here)
    os.chdir(root)
    warnings.filterwarnings("ignore", "IProgress not found")  # said by tqdm, whose bars are not used
    return _asked("NPNET_QUICK")


def sized(quick: Size, usual: Size, full: Size) -> Size:
    """How large a training is: `usual` takes a minute; ``NPNET_QUICK=1`` in the environment, seconds; ``NPNET_FULL=1``,
    some minutes to half an hour."""
    return quick if _asked("NPNET_QUICK") else full if _asked("NPNET_FULL") else usual


def _asked(name: str) -> bool:
    return os.environ.get(name, "0") not in ("", "0")


def show(figure: Any, alt: str) -> None:
    """A figure below its cell, with a description for those who cannot see it."""
    from IPython.display import display

    display(_picture(figure, alt))  # type: ignore[no-untyped-call]


def show_file(path: Path, alt: str, width: int) -> None:
    """A picture that is stored, so many pixels wide."""
    from IPython.display import display

    display(_described(path.read_bytes(), alt, width))  # type: ignore[no-untyped-call]


def _picture(figure: Any, alt: str) -> Any:
    from PIL import Image

    for axes in figure.axes:
        if not axes.images:
            axes.spines[["top", "right"]].set_visible(False)
    drawn, png = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=110)
    Image.open(drawn).convert("RGB").quantize(64).save(png, "png", optimize=True)  # a third of the bytes
    return _described(png.getvalue(), alt)


def _described(png: bytes, alt: str, width: int | None = None) -> Any:
    """Where somebody runs the notebook, as HTML, for JupyterLab does not show what is said beside an image. What is
    stored is an image: of stored HTML, which might come from anybody, viewers leave out a part."""
    from IPython.display import HTML, Image

    if _nobody_is_there():
        return Image(png, width=width, alt=alt)  # type: ignore[no-untyped-call]
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    size = f' width="{width}"' if width else ""
    return HTML(f'<img alt="{html.escape(alt)}"{size} src="{source}">')  # type: ignore[no-untyped-call]


def _nobody_is_there() -> bool:
    """Whether the notebook runs to be stored or tested: notebooks/execute.py says so."""
    return _asked("NPNET_STATIC")


def stored(runs: Mapping[str, Sequence[dict[str, Any]]], title: str, alt: str) -> None:
    """Curves of trainings of hours, from what is stored of them.  runs : by name, their lines of metrics; none, where a
    training is not there."""
    missing = [name for name, lines in runs.items() if not lines]
    if missing:
        print(f"Not stored here: {', '.join(missing)}. results/README.md says how to make them, in hours.")
        return
    show(plot.training(runs, title, []), alt)
    for name, lines in runs.items():
        tested = [line for line in lines if "test_error" in line][-1]
        print(f"{name}: test error {tested['test_error']:.1%} after {tested['epoch']:.0f} epochs")


class Live:
    """Curves that grow below their cell while a net trains. With nobody there, they are drawn once, by `close`.

    title, x, y : what is shown, and what the axes are, with their units.
    """

    SECONDS = 0.5
    """Between two pictures, at least."""

    def __init__(self, title: str, x: str, y: str) -> None:
        self.said = {"title": title, "xlabel": x, "ylabel": y}
        self._lines: dict[str, list[tuple[float, float, float]]] = {}
        self._shown: Any = None
        self._drawn = time.monotonic()

    def add(self, name: str, x: float, y: float, learnt: float = math.nan) -> None:
        """A point of the curve of that name.  learnt : the same on the images learnt from, dashed beside it."""
        self._lines.setdefault(name, []).append((x, y, learnt))
        if not _nobody_is_there() and time.monotonic() - self._drawn > self.SECONDS:
            self._draw(f"{self.said['title']}, so far")

    def close(self, alt: str) -> None:
        """The whole of it, with a description for those who cannot see it."""
        self._draw(alt)

    def _draw(self, alt: str) -> None:
        from IPython.display import display
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator

        figure = Figure(figsize=(8.0, 3.2), layout="constrained")
        axes = figure.subplots()
        for (name, points), colour in zip(self._lines.items(), COLOURS, strict=False):
            x, y, learnt = zip(*points, strict=True)
            dashed = not all(map(math.isnan, learnt))
            axes.plot(x, y, color=colour, label=f"{name}, other images" if dashed else name)
            if dashed:
                axes.plot(x, learnt, "--", color=colour, label=f"{name}, images learnt from")
        axes.set(**self.said)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(axes.lines) > 3:
            figure.legend(loc="outside right center", frameon=False)
        elif len(axes.lines) > 1:
            axes.legend(frameon=False)
        picture = _picture(figure, alt)
        if self._shown is None:
            self._shown = display(picture, display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._shown.update(picture)
        self._drawn = time.monotonic()


def slide(draw: Callable[..., Any], alt: str, **values: tuple[float, float, float, float]) -> None:
    """Shows what `draw` makes of some values, with a slider for each, where somebody can move them.

    draw : makes a figure.  values : of each argument where it stands, the least, the most, and the step. Where nobody
    can (no ipywidgets, or a notebook that is run to be stored or tested), the figure is drawn once.
    """
    try:
        import ipywidgets
    except ImportError:
        ipywidgets = None
    if ipywidgets is None or _nobody_is_there():
        show(draw(**{name: value for name, (value, *_) in values.items()}), alt)
        return
    sliders = {}
    for name, (value, least, most, step) in values.items():
        whole = all(float(number).is_integer() for number in (value, least, most, step))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        form = {} if whole else {"readout_format": ".4g"}
        sliders[name] = kind(value=value, min=least, max=most, step=step, description=name, **form)
    ipywidgets.interact(lambda **moved: show(draw(**moved), alt), **sliders)
