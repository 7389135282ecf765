"""The ledger: where AlexNet's paper, the program that made its numbers, Caffe and torchvision part.

What is a switch of `alexnet` is read off its presets. What lies outside the net (data, training, test) is stated here,
from the published sources: the program of 2012 and its logs (Computer History Museum, AlexNet-Source-Code),
cuda-convnet, BVLC's Caffe, torchvision and its reference training.
"""
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from textwrap import wrap
from typing import Any

from npnet.layers import Conv2D

from .alexnet import PRESETS, alexnet, switches
from .summary import neurons, rows

COLUMNS = {"paper": "paper", "original": "program of 2012", "caffe": "Caffe (bvlc_alexnet)",
           "torchvision": "torchvision"}


@dataclass(frozen=True)
class Point:
    """One point on which they differ.

    values : what each of COLUMNS says.  switch : the fields of `AlexNet` that choose it; "" if it is no matter of the
    net.  why : what comes of it.
    """

    name: str
    section: str
    values: dict[str, str]
    switch: str
    why: str


def _of(*names: str, say: Callable[..., str] = lambda *values: ", ".join(map(str, values))) -> dict[str, str]:
    """Of each column's preset, these switches in words."""
    return {column: say(*(getattr(PRESETS[column], name) for name in names)) for column in COLUMNS}


def _numbers(values: Any) -> str:
    return "uniform in ±1/√fan-in" if values is None else " ".join(f"{value:g}" for value in values)


def _base(alpha: float, per_channel: bool, k: float, stage: str) -> str:
    if "norm" not in stage.split():
        return "none"
    return f"{k:g} + {alpha:g} / 5 · Σ" if per_channel else f"{k:g} + {alpha:g} · Σ"


def _border(groups: int, stage: str) -> str:
    return "none" if "norm" not in stage.split() else "within each GPU's channels" if groups > 1 else "across it"


def _dropout(before: bool, convention: str) -> str:
    return f"{'before' if before else 'after'} fc6 and fc7; × " + (
        "0.5 in the test" if convention == "paper" else "2 in training")


def _stage(stage: str) -> str:
    names = {"relu": "ReLU", "norm": "LRN", "within": "LRN within maps", "pool": "pool"}
    return " – ".join(["conv", *(names[part] for part in stage.split())])


def _conv1(side: int, pad: int, rounding: str) -> str:
    count = Conv2D(3, 1, 11, 4, pad, rounding=rounding).output_shape((3, side, side))[1]
    zeros = f"{pad} zeros on each side" if pad else "no zeros"
    zeros = "zeros past the right and bottom edge" if rounding == "ceil" else zeros
    return f"{side} pixels, {zeros}: {count} positions"


def points() -> list[Point]:
    """All of them, in the order of the paper."""
    return [*_of_the_net(), *_of_the_rest()]


def _of_the_net() -> list[Point]:
    return [
        Point("first convolution", "§3.5",
              {**_of("input", "conv1_pad", "conv1_rounding", say=_conv1), "paper": "224 pixels, 55 positions"},
              "input, conv1_pad, conv1_rounding",
              "Every 4 pixels, 11 × 11 fits 54 times into 224, and of zeros the paper has no word. All of Krizhevsky's "
              "programs round up; 227 is Caffe's way to the same 55."),
        Point("filters", "§3.5", _of("widths", "groups", say=lambda w, g: f"{_numbers(w)}; groups {_numbers(g)}"),
              "widths, groups",
              "torchvision's is the net of 2014 for one GPU. Without groups the paper's has 62.4 million parameters."),
        Point("first stage", "§3.5", _of("stage1", say=_stage), "stage1",
              "The program normalised what may still be negative. CaffeNet, Caffe's other one, pools before it "
              "normalises."),
        Point("second stage", "§3.5", _of("stage2", say=_stage), "stage2",
              "The program had a second normalisation, within maps of 5 × 5 pixels, of which the paper has no word."),
        Point("fifth stage", "§3.5", _of("stage5", say=_stage), "stage5",
              "The same numbers: the largest of what is cut off at 0 is what is cut off of the largest."),
        Point("normalisation", "§3.3", _of("norm_alpha", "norm_per_channel", "norm_k", "stage1", say=_base),
              "norm_alpha, norm_per_channel, norm_k",
              "The formula has no n; the program's configuration divides α by it before the kernel sees it. Caffe is "
              "right about α and wrong about k."),
        Point("its border", "§3.2", _of("norm_groups", "stage1", say=_border), "norm_groups",
              "It matters to the two channels on either side of the border."),
        Point("first weights, σ", "§5", _of("std", say=_numbers), "std",
              "For conv1 to conv5, fc6, fc7, fc8. It is the standard deviation, not the variance."),
        Point("first biases", "§5", _of("bias", "std", say=lambda b, s: _numbers(b if s else None)), "bias",
              "For the same. CaffeNet keeps the paper's 1; with it bvlc_alexnet's loss stayed flat."),
        Point("biases learn", "§5",
              _of("bias_rate", "bias_decay", say=lambda r, d: f"{r:g} × the rate, {d:g} × the decay"),
              "bias_rate, bias_decay",
              "One rate for all layers, says the paper; Krizhevsky's programs and Caffe give biases twice the rate and "
              "no decay."),
        Point("dropout", "§4.2", _of("dropout_before", "dropout_convention", say=_dropout),
              "dropout_before, dropout_convention",
              "Equal in the mean, but weights trained with one are wrong by 2 with the other."),
    ]


def _of_the_rest() -> list[Point]:
    def point(name: str, section: str, values: tuple[str, str, str, str], why: str) -> Point:
        return Point(name, section, dict(zip(COLUMNS, values, strict=True)), "", why)

    return [
        point("update", "§5", (
            "v ← 0.9 v − 0.0005 ε w − ε g", "the same", "the same, v negated", "v ← 0.9 v + 0.0001 w + g; w ← w − ε v"),
            "With ε outside, v is wrong by the factor of a new rate, for some ten steps. npnet's SGD is the printed "
            "one."),
        point("batch, schedule", "§5", (
            "128; 0.01, divided by 10 at plateaus, three times; 90 epochs",
            "128; divided by 10 after epochs 23 and 51; from 68 conv1 with 1e-5 and no colour noise, from 72 conv1 "
            "frozen, from 78 all with 1e-5; 93 epochs",
            "256; divided by 10 every 20 epochs; 90 epochs", "256; divided by 10 every 30 epochs; 90 epochs"),
            "The paper has no word of the frozen first layer, nor that colour noise was switched off."),
        point("to 256 × 256", "§2", (
            "shorter side to 256, centre", "the same", "squashed, by its tutorial", "shorter side, for the test"),
            "torchvision's training crops are of 8 to 100 % of the area, as GoogLeNet's."),
        point("mean", "§2", (
            "of each pixel of the training set", "its centre 224 × 224, wherever the crop lies",
            "of each pixel, where the crop lies; BGR",
            "of each channel, and divided by its deviation; pixels 0 to 1"),
            "A mean image that moves with the crop is nearly the same, a mean of each channel is not."),
        point("crops", "§4.1", (
            "2048 = 32 × 32 × 2", "offsets 0 to 32: 33 × 33 × 2 = 2178; one draw for each 32 images in a row",
            "30 × 30 × 2 of 227 pixels", "any"), "256 − 224 = 32 has 33 places."),
        point("colour", "§4.1", (
            "eigenvectors × eigenvalues × N(0, 0.1)", "× their roots; then the image divided by 1.1", "none", "none"),
            "Of pixels from 0 to 255 the first eigenvalue is 14,830: the printed text would shift by ± 1,483."),
        point("test", "§4.1", ("10 views, softmax averaged", "the same", "centre", "centre"),
              "Of the program: 39.0 % with the centre alone, 37.5 % with ten views."),
    ]


@dataclass(frozen=True)
class Slip:
    """Where the paper's own numbers are not those of its net."""

    section: str
    says: str
    found: str


def slips() -> list[Slip]:
    """Computed from the net."""
    net, shape = alexnet(), (3, 224, 224)
    table = {row.name: row for row in rows(net, shape)}
    total, computed = net.cost(shape).parameters, table["conv1"].neurons
    large = " and ".join(f"{name} {table[name].cost.parameters / total:.2%}" for name in ("conv3", "conv4"))
    half = alexnet(preset="one_gpu").cost(shape).parameters
    return [
        Slip("Figure 2", "conv1 has 253,440 neurons", f"55 × 55 × 96 = {computed:,}; 253,440 is 55 · 48 · 96"),
        Slip("Abstract", "650,000 neurons",
             f"{neurons(net, shape):,}, though Figure 2's own numbers add up to "
             f"{neurons(net, shape) - computed + 253_440:,}"),
        Slip("Abstract", "60 million parameters", f"{total:,}"),
        Slip("§1", "each convolution has no more than 1 % of the parameters", large),
        Slip("§3.5", "224 pixels and 55 positions", "(224 − 11) / 4 + 1 = 54.25: 55 only rounded up"),
        Slip("§3.2", "half as many kernels in each layer on one GPU",
             f"by its own footnote conv5 keeps all: {half:,} parameters, about as many as on two"),
        Slip("§4.1", "2048 crops and mirrors", f"33 × 33 × 2 = {33 * 33 * 2:,}"),
    ]


def text(width: int = 100) -> str:
    """For the terminal."""
    lines = ["Where AlexNet's paper, the program of 2012, Caffe and torchvision differ", ""]
    title = max(map(len, COLUMNS.values())) + 2
    for number, point in enumerate(points(), 1):
        lines.append(f"{number}. {point.name}, {point.section}" + (f": {point.switch}" if point.switch else ""))
        for column, name in COLUMNS.items():
            value = wrap(point.values[column], width - title - 5)
            lines += [f"     {who:{title}}{line}" for who, line in zip_longest([name], value, fillvalue="")]
        lines += [f"   {line}" for line in wrap(point.why, width - 3)] + [""]
    lines += ["Behind the colon: the switches, of alexnet(preset=\"caffe\", norm_k=2.0).",
              f"Presets: {', '.join(PRESETS)}.", "", "What the paper says of its net, and what its net is", ""]
    for slip in slips():
        lines += [f"   {line}" for line in wrap(f"{slip.section}: {slip.says}. {slip.found}.", width - 3)]
    return "\n".join(lines)


def page() -> str:
    """In Markdown: docs/ledger.md."""
    def row(*cells: str) -> str:
        return "| " + " | ".join(cells) + " |"

    lines = ["# The ledger", "",
             "Where AlexNet's paper, the program that made its numbers, Caffe and torchvision differ. Made by",
             "`npnet ledger --markdown`; what is a switch of the net is read off its presets.", "",
             row("", *COLUMNS.values(), "switch of `alexnet`", "what comes of it"), row(*["---"] * (len(COLUMNS) + 3))]
    for point in points():
        switch = ", ".join(f"`{name}`" for name in point.switch.split(", ")) if point.switch else ""
        lines.append(row(f"**{point.name}** {point.section}", *(point.values[column] for column in COLUMNS), switch,
                         point.why))
    lines += ["", "`alexnet(preset=\"caffe\", norm_k=2.0)` changes one point of one.", "",
              "## What the paper says of its net", "", row("", "the paper", "its net"), row(*["---"] * 3)]
    lines += [row(slip.section, slip.says, slip.found) for slip in slips()]
    lines += ["", "## Presets", "", row("preset", "filters", "parameters", "multiply-adds", "neurons"),
              row(*["---"] * 5)]
    for name in PRESETS:
        made, net = switches(name), alexnet(preset=name)
        shape = (3, made.input, made.input)
        cost = net.cost(shape)
        filters = _numbers((*made.widths, made.sixth) if made.sixth else made.widths)
        lines.append(row(f"`{name}`", filters, f"{cost.parameters:,}", f"{cost.macs:,}", f"{neurons(net, shape):,}"))
    return "\n".join(lines) + "\n"
