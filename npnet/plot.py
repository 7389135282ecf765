"""Pictures, drawn from numbers that are already there. Knows no layer and no net."""
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from npnet.files import write_atomically

BLUE, ORANGE = "#0072B2", "#D55E00"  # Okabe and Ito's palette: told apart by colour-blind readers, and in grey
Curve = list[tuple[float, float]]


def figure1(
    curves: dict[str, list[Curve]], crossings: dict[str, float | None], rates: dict[str, float], level: float,
    title: str, paths: Sequence[Path],
) -> None:
    """AlexNet's Figure 1: training error against epochs, solid for ReLU, dashed for tanh, the `level` dotted.

    curves : for "relu" and "tanh", a list over seeds of (epoch, training error).  crossings : the mean epoch at which
    each reaches `level`, None where one never does.
    """
    figure, axes = _figure(7.0, 4.4)
    styles = {"relu": ("ReLU", BLUE, "-"), "tanh": ("tanh", ORANGE, "--")}
    longest = max((points[-1][0] for runs in curves.values() for points in runs if points), default=1.0)
    for name, (text, colour, line) in styles.items():
        runs = [np.array(points) for points in curves[name] if points]
        if not runs:
            continue
        common = min(runs, key=len)[:, 0]  # where all seeds still train
        errors = np.array([np.interp(common, run[:, 0], run[:, 1]) for run in runs])
        label = f"{text}, learning rate {rates[name]:g}"
        axes.plot(common, errors.mean(axis=0), line, color=colour, linewidth=1.8, label=label)
        if len(runs) > 1:
            axes.fill_between(common, errors.min(axis=0), errors.max(axis=0), color=colour, alpha=0.25, linewidth=0)
        at = crossings[name]
        if at is not None:
            axes.plot([at, at], [0, level], ":", color=colour, linewidth=1)
            axes.plot([at], [level], "o", color=colour, markersize=5)
            axes.annotate(f"{at:.1f} epochs", (at, 0.02), (4, 0), textcoords="offset points", color=colour)
    axes.axhline(level, color="0.4", linewidth=0.8, linestyle=(0, (4, 4)))
    axes.annotate(f"{level:.0%}", (longest, level), (-2, 3), textcoords="offset points", ha="right", color="0.4")
    relu, tanh = crossings["relu"], crossings["tanh"]
    if relu and tanh:
        verdict = f"ReLU reaches {level:.0%} {tanh / relu:.1f} times faster (the paper's figure: 6 times)"
    elif relu:
        verdict = f"tanh has not reached {level:.0%} in {longest:.0f} epochs, ReLU did after {relu:.1f}"
    else:
        verdict = f"not reached in {longest:.0f} epochs: {level:.0%}"
    seeds = max(len(runs) for runs in curves.values())
    axes.set_title(f"Training error on {title}" + (f", {seeds} seeds (band: least to most)" if seeds > 1 else ""),
                   loc="left", fontsize=10)
    axes.text(0.985, 0.70, verdict, transform=axes.transAxes, ha="right", fontsize=9)
    axes.set(xlabel="epochs", ylabel="training error", xlim=(0, longest), ylim=(0, 0.8))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(frameon=False, loc="upper right")
    _save(figure, paths)


def _figure(width: float, height: float) -> tuple[Any, Any]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, paths: Sequence[Path]) -> None:
    """In the format of each path's ending; the same numbers give the same file."""
    import io

    import matplotlib

    for path in paths:
        buffer = io.BytesIO()
        metadata = {"Date": None} if path.suffix == ".svg" else {"Software": None}
        with matplotlib.rc_context({"svg.hashsalt": "npnet"}):
            figure.savefig(buffer, format=path.suffix[1:], metadata=metadata)
        write_atomically(path, buffer.getvalue())


def training(lines: Sequence[dict[str, Any]], title: str, paths: Sequence[Path]) -> None:
    """Training and test error of a run against epochs, from its lines of metrics."""
    figure, axes = _figure(7.0, 4.0)
    for key, text, colour, line in (("error", "training", BLUE, "-"), ("test_error", "test", ORANGE, "o-")):
        points = np.array([(entry["epoch"], entry[key]) for entry in lines if key in entry])
        if len(points):
            axes.plot(points[:, 0], points[:, 1], line, color=colour, linewidth=1.4, markersize=3,
                      label=f"{text}, {points[-1, 1]:.1%} at the end")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="epochs", ylabel="error", xlim=(0, None), ylim=(0, None))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(frameon=False)
    _save(figure, paths)
