"""Pictures, drawn from numbers that are already there. Knows no layer and no net.

Each function writes its picture to all of `paths`, which may be none, and returns the figure.
"""
import math
import sys
import textwrap
import warnings
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from npnet.files import write_atomically

# Okabe and Ito's palette: told apart by colour-blind readers, and in grey
BLUE, ORANGE, PALE = "#0072B2", "#D55E00", "#F2C6A0"
COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Of as many runs as one picture shows."""
Curve = list[tuple[float, float]]


STYLES = {"relu": ("ReLU", BLUE, "-"), "tanh": ("tanh", ORANGE, "--")}


def figure1(
    curves: dict[str, list[Curve]], crossings: dict[str, float | None], rates: dict[str, float], level: float,
    title: str, paths: Sequence[Path],
) -> Any:
    """AlexNet's Figure 1: training error against epochs, solid for ReLU, dashed for tanh, with a line at `level`.

    The mean of the seeds is that of the epochs at which they reach an error, so that it ends where they do on average.

    curves : for "relu" and "tanh", a list over seeds of (epoch, training error).  crossings : the mean epoch at which
    each reaches `level`, None where one never does.
    """
    figure, axes = _figure(7.0, 4.6)
    longest = {name: max((run[-1][0] for run in curves[name] if run), default=0.0) for name in STYLES}
    end = max(*longest.values()) or 1.0
    for i, (name, (text, colour, line)) in enumerate(STYLES.items()):
        runs = [np.array(points) for points in curves[name] if points]
        if not runs:
            continue
        label = f"{text}, learning rate {rates[name]:g}"
        at = crossings[name]
        if len(runs) == 1:
            axes.plot(*runs[0].T, line, color=colour, linewidth=1.8, label=label)
        else:
            errors, epochs = reached(runs, level)
            first, last = epochs.min(axis=0), epochs.max(axis=0)
            axes.plot(epochs.mean(axis=0), errors, line, color=colour, linewidth=1.8, label=label)
            axes.fill_betweenx(errors, first, last, color=colour, alpha=0.25, linewidth=0)
            if at is not None:
                axes.plot([first[-1], last[-1]], [level, level], color=colour, alpha=0.4, linewidth=4)
        if at is not None:
            axes.plot([at, at], [0, level], ":", color=colour, linewidth=1)
            axes.plot([at], [level], "o", color=colour, markersize=5)
            left = at > 0.8 * end
            axes.annotate(  # one above the other, however close they are
                f"{text}: {at:.1f} epochs", (at, 0.015 + 0.055 * i), (-4 if left else 4, 0), fontsize=9, color=colour,
                textcoords="offset points", ha="right" if left else "left",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.5},
            )
    axes.axhline(level, color="0.4", linewidth=0.8, linestyle=(0, (4, 4)))
    axes.annotate(f"{level:.0%}", (1, level), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                  va="center", color="0.4")
    seeds = max(len(runs) for runs in curves.values())
    heading = f"Training error on {title}" + (f", {seeds} seeds" if seeds > 1 else "")
    said = verdict(crossings, longest, level, seeds)
    figure.suptitle(f"{heading}\n{said}", x=0.02, ha="left", fontsize=9.5)
    band = " (the band is from the least to the most of the seeds)" if seeds > 1 else ""
    axes.set(xlabel=f"epochs{band}", ylabel="training error", xlim=(0, end), ylim=(0, 0.9))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, fontsize=9)
    return _saved(figure, paths, f"{heading}, against epochs. {said}.")


def reached(runs: Sequence[Any], level: float) -> tuple[Any, Any]:
    """Errors (M,), from the first that all seeds measured down to `level`, or to the last that all came down to; and
    the epochs (seeds, M) at which each came down to it first, linear between two points of its curve.

    runs : for each seed (points, 2), epoch and error.
    """
    lowest = [np.minimum.accumulate(run[:, 1]) for run in runs]
    top, bottom = min(low[0] for low in lowest), max(level, *(low[-1] for low in lowest))
    errors = np.linspace(top, min(top, bottom), 200)
    epochs = []
    for run, low in zip(runs, lowest, strict=True):
        first = np.array([int(np.argmax(low <= error)) for error in errors])
        before = np.maximum(first - 1, 0)
        (e0, y0), (e1, y1) = run[before].T, run[first].T
        share = np.where(y0 > y1, (y0 - errors) / np.where(y0 > y1, y0 - y1, 1), 1)
        epochs.append(e0 + (e1 - e0) * np.clip(share, 0, 1))
    return errors, np.array(epochs)


def verdict(crossings: dict[str, float | None], longest: dict[str, float], level: float, seeds: int = 1) -> str:
    """What Figure 1 shows, in a sentence. crossings : as for `figure1`.  longest : the middle of what each was
    measured on last, in epochs: half an epoch before its end."""
    relu, tanh = crossings["relu"], crossings["tanh"]
    if relu is not None and tanh is not None:
        return (f"{level:.0%} after {relu:.1f} epochs with ReLU and {tanh:.1f} with tanh: {tanh / relu:.1f} times as "
                f"many (the paper, to 25%: 6 times)")
    never = "not always in" if seeds > 1 else "not in"
    parts = [
        f"{f'{never} {math.ceil(longest[name])}' if at is None else f'after {at:.1f}'} epochs with {STYLES[name][0]}"
        for name, at in crossings.items()
    ]
    return f"{level:.0%} " + "; ".join(parts) + " (the paper, to 25%: 6 times)"


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _blank(width: float, height: float, layout: Any = "constrained") -> Any:
    """A figure with nothing in it yet, so many inches wide and high."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=130, layout=layout)
    FigureCanvasAgg(figure)
    return figure


def _figure(width: float, height: float) -> tuple[Any, Any]:
    figure = _blank(width, height)
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _pair(height: float, title: str, labels: tuple[str, str]) -> tuple[Any, Any]:
    """A figure with two axes side by side, each with what it shows above it."""
    figure = _blank(9.0, height)
    figure.suptitle(title, x=0.01, ha="left", fontsize=10)
    both = figure.subplots(1, 2)
    for axes, label in zip(both, labels, strict=True):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_title(label, loc="left", fontsize=9)
    return figure, both


def _saved(figure: Any, paths: Sequence[Path], description: str) -> Any:
    """The figure, written in the format of each path's ending, for those who cannot see it with a `description`.

    The same numbers give the same file.
    """
    import io

    import matplotlib
    from matplotlib.text import Text

    texts = [text for text in figure.findobj(Text) if text.get_text()]  # at ticks nothing is written yet
    for text in texts:  # names of files and folders among them
        text.set_parse_math(False)  # a $ in a name is a $
        text.set_text(printable(text.get_text()))
    _find_fonts(texts)
    for path in paths:
        buffer = io.BytesIO()
        metadata = {"Description": printable(description), "Date" if path.suffix == ".svg" else "Software": None}
        with matplotlib.rc_context({"svg.hashsalt": "npnet"}), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph")  # `_find_fonts` has said it
            figure.savefig(buffer, format=path.suffix[1:], metadata=metadata)
        write_atomically(path, buffer.getvalue())
    return figure


FONTS = ("Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic",
         "Noto Sans CJK JP", "Noto Sans CJK SC", "WenQuanYi Zen Hei", "Microsoft YaHei", "Hiragino Sans",
         "Arial Unicode MS")
"""That have what matplotlib's own has not: Hangul, kana, Chinese characters."""


def _find_fonts(texts: Sequence[Any]) -> None:
    """Of these texts, those with characters that matplotlib's own font has not get `FONTS`; if none is there, it is
    said."""
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    known = FT2Font(font_manager.findfont("DejaVu Sans")).get_charmap()
    lacking = {character for text in texts for character in text.get_text() if ord(character) not in known} - {"\n"}
    if not lacking:
        return
    there = {font.name for font in font_manager.fontManager.ttflist}
    fonts = [font for font in FONTS if font in there]
    if not fonts:
        print(f"no font for {''.join(sorted(lacking))} is installed, and boxes stand in the picture instead: install "
              f"one, as {FONTS[0]}", file=sys.stderr)
    for text in texts:
        if fonts and lacking & set(text.get_text()):
            text.set_fontfamily([*text.get_fontfamily(), *fonts])


def printable(text: str) -> str:
    """With a ? for what is no character: a byte in the name of a file that its system cannot read."""
    return text.encode(errors="replace").decode()


def training(
    runs: Mapping[str, Sequence[dict[str, Any]]], title: str, paths: Sequence[Path], chance: float | None = None
) -> Any:
    """Training and test error of runs against epochs: training error as a thin line, test error as points, and as
    squares that of the mean of the weights (`train.Average`), where it was measured.

    runs : their lines of metrics, by what they are called.  chance : the error of one who guesses.
    """
    figure, axes = _figure(7.0, 4.0 + 0.2 * len(runs))
    said = []
    for (name, lines), colour in zip(runs.items(), COLOURS, strict=False):
        ends = []
        for key, text, line, width, mark in (
            ("error", "training", "-", 0.9, 0), ("test_error", "test", "o-", 1.4, 3),
            ("averaged_error", "with the mean of the weights (squares)", "s:", 1.4, 5),
        ):
            points = np.array([(entry["epoch"], entry[key]) for entry in lines if key in entry])
            if len(points):
                axes.plot(*points.T, line, color=colour, linewidth=width, markersize=mark)
                ends.append(f"{text} {points[-1, 1]:.1%}")
        said.append(f"{name}: {', '.join(ends)} at the end" if ends else f"{name}: nothing yet")
        axes.plot([], [], "o-", color=colour, markersize=3, label=textwrap.fill(said[-1], 88))
    if chance is not None:
        axes.axhline(chance, color="0.4", linewidth=0.8, linestyle=(0, (4, 4)))
        axes.annotate("chance", (1, chance), (4, 0), xycoords=("axes fraction", "data"), textcoords="offset points",
                      va="center", color="0.4")
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel="epochs", ylabel="error: test with points, training without", xlim=(0, None), ylim=(0, None))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    figure.legend(frameon=False, loc="outside lower left", fontsize=9)
    return _saved(figure, paths, f"{title}, error against epochs: {'; '.join(said)}")


def heads(result: dict[str, Any], title: str, paths: Sequence[Path]) -> Any:
    """Size of the gradient at a module, and the loss, against steps, with auxiliary classifiers and without."""
    figure, both = _pair(4.0, title, ("size of the gradient of its weights", "loss of the net itself"))
    styles = {"with": ("with auxiliary classifiers", BLUE, "-"), "without": ("without", ORANGE, "--")}
    for axes, key in zip(both, ("gradient", "loss"), strict=True):
        for name, (text, colour, line) in styles.items():
            values = result[name][key]
            axes.plot(range(1, len(values) + 1), values, line, color=colour, linewidth=1.2, label=text)
        axes.set(xlabel="step", yscale="log" if key == "gradient" else "linear")
    both[0].legend(frameon=False, fontsize=9)
    middle = {name: float(np.median(result[name]["gradient"])) for name in styles}
    return _saved(figure, paths, f"{title}: size of the gradient against steps; its median is {middle['with']:.2g} "
                                 f"with auxiliary classifiers, {middle['without']:.2g} without")


FILLS = {"input": "white", "weights": "#CFE3F3", "pool": "#F6D5C6", "norm": "#E4E4E4", "concat": "#CBE8DD",
         "other": "#F5E9C9"}


def diagram(drawn: Any, title: str, paths: Sequence[Path]) -> Any:
    """A net's boxes and arrows, as `models.diagram` has laid them out, in inches.

    drawn : has boxes (kind, text, x, y), their `box_size`, arrows along points, notes (text, x, y), width, height.
    """
    from matplotlib.patches import FancyBboxPatch

    edge, above = 0.15, 0.35
    width, height = drawn.width + 2 * edge, drawn.height + 2 * edge + above
    figure = _blank(width, height, layout=None)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-edge, width - edge), ylim=(height - edge - above, -edge - above))
    axes.set_axis_off()
    for *before, begin, end in drawn.arrows:
        axes.plot(*zip(*before, begin, strict=True), color="0.45", linewidth=0.7)
        axes.annotate("", end, begin, arrowprops={"arrowstyle": "-|>", "color": "0.45", "linewidth": 0.7,
                                                  "shrinkA": 0, "shrinkB": 0, "mutation_scale": 6})
    wide, high = drawn.box_size
    for box in drawn.boxes:
        axes.add_patch(FancyBboxPatch((box.x, box.y), wide, high, boxstyle="round,pad=0,rounding_size=0.05",
                                      facecolor=FILLS[box.kind], edgecolor="0.3", linewidth=0.7))
        axes.text(box.x + wide / 2, box.y + high / 2, box.text, ha="center", va="center", fontsize=7)
    for text, x, y in drawn.notes:
        axes.text(x, y, text, va="center", fontsize=7, color="0.35")
    axes.text(0, -above / 2 - edge / 2, title, va="center", fontsize=9)
    return _saved(figure, paths, f"{title}: {len(drawn.boxes)} boxes from the input down; "
                                 f"{sum(box.kind == 'weights' for box in drawn.boxes)} of them have weights")


def signals(variants: Mapping[str, Sequence[dict[str, Any]]], title: str, paths: Sequence[Path]) -> Any:
    """How much of what each layer computes is about the image, and how large the gradient of its weights is.

    variants : by name, of each layer its name ("layer"), "share" and "gradient", as `evaluate.signals` says.
    """
    figure, both = _pair(3.8 + 0.2 * len(variants), title,
                         ("of what it computes, about the image", "gradient of the weights, per weight"))
    for axes, key in zip(both, ("share", "gradient"), strict=True):
        for (name, layers), colour in zip(variants.items(), COLOURS, strict=False):
            axes.plot([one["layer"] for one in layers], [one[key] for one in layers], "o-", color=colour, markersize=4,
                      linewidth=1.4, label=name)
        axes.set_yscale("log")
        axes.tick_params(axis="x", labelrotation=45)
        if key == "share":
            axes.yaxis.set_major_formatter(lambda y, _: f"{100 * y:g}%")
    figure.legend(*both[0].get_legend_handles_labels(), frameon=False, loc="outside lower left", fontsize=9)
    ends = "; ".join(f"{name}: {layers[-1]['share']:.1%} at {layers[-1]['layer']}" for name, layers in variants.items())
    return _saved(figure, paths, f"{title}: share of each layer's output that differs from image to image: {ends}")


def sheet(
    rows: Sequence[tuple[str, Sequence[Any]]], heading: str, paths: Sequence[Path],
    boxes: Sequence[tuple[float, float, float, float]] = (),
) -> Any:
    """Pictures in rows, each with what it shows.

    rows : (what, images (3, H, W) uint8).  boxes : (x, y, width, height) in pixels, drawn into the very first image.
    """
    from matplotlib.patches import Rectangle

    columns = max(len(images) for _, images in rows)
    figure = _blank(1.5 * columns, 1.7 * len(rows) + 0.4, layout=None)
    figure.subplots_adjust(0.01, 0.02, 0.99, 1 - 0.6 / (1.7 * len(rows) + 0.4), 0.05, 0.2)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10)
    grid = figure.subplots(len(rows), columns, squeeze=False)
    for line, (what, images) in zip(grid, rows, strict=True):
        for axes, image in zip_longest(line, images):
            if image is None:
                axes.set_axis_off()
                continue
            axes.imshow(np.transpose(image, (1, 2, 0)), interpolation="nearest")
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_color("0.8")
        line[0].set_title(what, loc="left", fontsize=8).set_in_layout(False)  # it is wider than its column
    for x, y, width, height in boxes:
        grid[0, 0].add_patch(Rectangle((x - 0.5, y - 0.5), width, height, fill=False, edgecolor=ORANGE, linewidth=1))
    return _saved(figure, paths, heading + ": " + "; ".join(what for what, _ in rows))


def answers(
    pictures: Sequence[Any], best: Sequence[Sequence[tuple[str, float]]], titles: Sequence[str], paths: Sequence[Path]
) -> Any:
    """Photos (3, H, W), under each the names that a net gives it, with bars: AlexNet's Figure 4, left.

    best : for each, the most probable first: (name, probability).
    """
    columns = min(4, len(pictures))
    lines = -(-len(pictures) // columns)
    figure = _blank(2.4 * columns, 3.6 * lines)
    grid = figure.subplots(2 * lines, columns, squeeze=False, height_ratios=(2.2, 1) * lines)
    for axes in grid.flat:
        axes.set_axis_off()
    for i, (image, some, title) in enumerate(zip(pictures, best, titles, strict=True)):
        above, below = (grid[i // columns * 2 + row, i % columns] for row in (0, 1))
        above.imshow(np.transpose(image, (1, 2, 0)))
        above.set_title(_short(title, 38), fontsize=8)
        places = np.arange(len(some))[::-1]
        below.barh(places, [p for _, p in some], height=0.9, color=[ORANGE] + [PALE] * (len(some) - 1))
        for place, (name, p) in zip(places, some, strict=True):
            text = below.text(0.02, place, f"{_short(name, 30)}  {p:.0%}", va="center", fontsize=7, clip_on=True)
            text.set_in_layout(False)  # else all photos grow smaller for one long name
        below.set(xlim=(0, 1), ylim=(-0.6, len(some) - 0.4))
    told = "; ".join(f"{title}: {some[0][0]} ({some[0][1]:.0%})" for title, some in zip(titles, best, strict=True))
    return _saved(figure, paths, f"Photos and the five most probable classes of each: {told}")


def kernels(parts: Sequence[Any], said: Sequence[str], heading: str, paths: Sequence[Path]) -> Any:
    """Kernels as pictures, one part (O, 3, KH, KW) above the other, each with what is said of it: AlexNet's Figure 3.
    """
    each = [_tiled(part) for part in parts]
    heights = [image.shape[0] / image.shape[1] for image in each]
    figure = _blank(7.0, 7.0 * sum(heights) + 0.3 * len(parts) + 0.4)
    figure.suptitle(heading, x=0.01, ha="left", fontsize=10)
    for axes, image, text in zip(
        figure.subplots(len(parts), squeeze=False, height_ratios=heights)[:, 0], each, said, strict=True
    ):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(text, loc="left", fontsize=8)
        axes.set_axis_off()
    return _saved(figure, paths, f"{heading}: {'; '.join(said)}")


def _tiled(images: Any) -> Any:
    """(O, 3, KH, KW) → (H, W, 3): in rows of 16, a white line between them."""
    count, _, height, width = images.shape
    columns = min(16, count)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + 1) + 1, i % columns * (width + 1) + 1
        sheet[top : top + height, left : left + width] = np.transpose(image, (1, 2, 0))
    return sheet


def recall(result: dict[str, Any], title: str, paths: Sequence[Path]) -> Any:
    """Of the nearest neighbours by Euclid, the share that codes find, against how many are looked at."""
    figure, axes = _figure(6.0, 4.0)
    for key, text, colour, line in (
        ("learnt", "codes of the auto-encoder", BLUE, "o-"), ("random_planes", "random planes", ORANGE, "s--"),
        ("chance", "chance", "0.5", ":"),
    ):
        axes.plot(result["looked_at"], result[key], line, color=colour, markersize=4, linewidth=1.4, label=text)
    axes.set_title(title, loc="left", fontsize=10)
    axes.set(xlabel=f"looked at, of {result['gallery']:,}", xscale="log", ylim=(0, 1),
             ylabel=f"of the {result['k']} nearest by Euclid found")
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:.0%}")
    axes.legend(frameon=False)
    return _saved(figure, paths, f"{title}: share of the {result['k']} nearest by Euclid among those nearest by code")
